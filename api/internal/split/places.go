package split

import "sync"

// Places are the connections that may be open, in all and of one host, however many listeners they come to.
type Places struct {
	all, perHost int

	mu    sync.Mutex
	open  int
	hosts map[string]int
}

// NewPlaces makes so many places, of which one host may have so many.
func NewPlaces(all, perHost int) *Places {
	return &Places{all: all, perHost: perHost, hosts: map[string]int{}}
}

// take takes a place for a host, or reports false where there is none.
func (p *Places) take(host string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open >= p.all || p.hosts[host] >= p.perHost {
		return false
	}
	p.open++
	p.hosts[host]++
	return true
}

// leave gives a host's place back.
func (p *Places) leave(host string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open--
	if p.hosts[host]--; p.hosts[host] == 0 {
		delete(p.hosts, host)
	}
}
