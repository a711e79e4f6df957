package node

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

const (
	// behindMany missing finals make a node not ready, until fewer than behindFew are missing.
	behindMany = 5000
	behindFew  = 1000
	// progressWindow is over how long the rate is taken, and progressStall how long nothing may come before it is said
	// why.
	progressWindow = 20 * time.Second
	progressStall  = 30 * time.Second
	// saidFor is how long a member's word counts.
	saidFor = 5 * time.Minute
)

// progress is how far this node is behind what is final elsewhere. Safe for concurrent use.
type progress struct {
	mu     sync.Mutex
	said   map[domain.PublicKey]mark // what members say is final with them
	marks  []mark                    // what was final here, ascending, over the progressWindow
	grown  time.Time                 // when something last became final here
	cause  string                    // of the last failure to get what is missing
	behind bool
}

// mark is how much was final at a time.
type mark struct {
	at    time.Time
	count uint64
}

func newProgress() *progress { return &progress{said: make(map[domain.PublicKey]mark)} }

// says notes what a member says is final with it.
func (p *progress) says(member domain.PublicKey, count uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, c := range p.said {
		if now.Sub(c.at) > saidFor {
			delete(p.said, key)
		}
	}
	p.said[member] = mark{now, count}
}

// failed notes why what is missing did not come.
func (p *progress) failed(cause string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cause = cause
}

// here notes how much is final here.
func (p *progress) here(count uint64, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.marks) == 0 || count > p.marks[len(p.marks)-1].count {
		p.grown, p.cause = now, ""
	}
	p.marks = append(p.marks, mark{now, count})
	old := slices.IndexFunc(p.marks, func(m mark) bool { return now.Sub(m.at) <= progressWindow })
	p.marks = slices.Delete(p.marks, 0, max(old-1, 0)) // one before the window
}

// report is the state of things for a group: without can_verify and can_vote.
func (p *progress) report(g *group.Group, count uint64, now time.Time) *notaryv1.CatchUp {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &notaryv1.CatchUp{FinalElsewhere: p.elsewhere(g)}
	if c.FinalElsewhere <= count {
		return c
	}
	c.Missing = c.FinalElsewhere - count
	if len(p.marks) > 1 {
		first, last := p.marks[0], p.marks[len(p.marks)-1]
		if took := last.at.Sub(first.at).Seconds(); took > 0 {
			c.PerSecond = uint64(float64(last.count-first.count) / took)
		}
	}
	if c.PerSecond > 0 {
		c.EtaMs = c.Missing * 1000 / c.PerSecond
	}
	if !p.grown.IsZero() && now.Sub(p.grown) > progressStall {
		c.Stalled = fmt.Sprintf("nothing has become final here for %v", now.Sub(p.grown).Round(time.Second))
		if p.cause != "" {
			c.Stalled += ": " + p.cause
		}
	}
	return c
}

// elsewhere is the most that members with more than a third of the weight say is final with them: one of these is
// honest, while more than two thirds are.
func (p *progress) elsewhere(g *group.Group) uint64 {
	counts := make([]uint64, 0, len(p.said))
	weights := make(map[uint64]group.Weight, len(p.said))
	for key, c := range p.said {
		if w := g.Share(key); w > 0 {
			if weights[c.count] == 0 {
				counts = append(counts, c.count)
			}
			weights[c.count] += w
		}
	}
	slices.Sort(counts)
	var sum group.Weight
	for _, count := range slices.Backward(counts) {
		if sum += weights[count]; group.Third(sum) {
			return count
		}
	}
	return 0
}

// problem is what /readyz says of it; nothing where the node is not far behind.
func (p *progress) problem(c *notaryv1.CatchUp) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.behind = c.Missing > behindMany || p.behind && c.Missing >= behindFew; !p.behind {
		return ""
	}
	text := fmt.Sprintf("catching up: %d of %d final transactions are here", c.FinalElsewhere-c.Missing, c.FinalElsewhere)
	switch {
	case c.Stalled != "":
		text += "; " + c.Stalled
	case c.EtaMs > 0:
		text += fmt.Sprintf(", about %v left", (time.Duration(c.EtaMs) * time.Millisecond).Round(time.Second))
	}
	return text
}
