package netlab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Lab is the hosts 0 to n-1, and this machine, which reaches all of them over links that nothing can be done to.
type Lab struct {
	name  string
	ports []*port // of the hosts, and last that of this machine
	work  sync.WaitGroup

	mu    sync.Mutex
	links map[[2]int]Link
}

// Link is what happens to frames on their way from one host to another. The zero Link carries all at once and in order.
type Link struct {
	Cut  bool
	Loss float64 // the share that is lost, 0 to 1
	// Each frame takes between Delay and Delay+Jitter, drawn for itself: later ones overtake earlier ones.
	Delay, Jitter time.Duration
}

// New makes a network of n hosts, at most 200. Close takes it away again.
func New(n int) (lab *Lab, err error) {
	l := &Lab{name: fmt.Sprintf("lab%d", os.Getpid()), links: make(map[[2]int]Link)}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for i := range n + 1 {
		p, err := l.plug(i, i == n)
		if err != nil {
			return nil, fmt.Errorf("netlab: host %d: %w", i, err)
		}
		l.ports = append(l.ports, p)
	}
	for i := range l.ports {
		l.work.Go(func() { l.carry(i) })
	}
	return l, nil
}

// Address is that of a host: one of 198.18.0.0/15, which is set aside for such tests (RFC 2544).
func (l *Lab) Address(host int) netip.Addr {
	return netip.AddrFrom4([4]byte{198, 18, byte(os.Getpid()), byte(host + 1)})
}

// Here is the number of this machine, for Set.
func (l *Lab) Here() int { return len(l.ports) - 1 }

// Command is a command line that runs a program on a host.
func (l *Lab) Command(host int, program string, args ...string) []string {
	return append([]string{"ip", "netns", "exec", l.ports[host].space, program}, args...)
}

// Set says what becomes of frames from one host to another from now on.
func (l *Lab) Set(from, to int, link Link) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[[2]int{from, to}] = link
}

// Between sets both directions of all pairs with one of each side.
func (l *Lab) Between(a, b []int, link Link) {
	for _, x := range a {
		for _, y := range b {
			l.Set(x, y, link)
			l.Set(y, x, link)
		}
	}
}

// Heal has every link carry everything.
func (l *Lab) Heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.links)
}

// Close takes the hosts and their links away. Programs that run on them must have ended.
func (l *Lab) Close() (err error) {
	for _, p := range l.ports {
		err = errors.Join(err, p.file.Close())
	}
	l.work.Wait()
	for _, p := range l.ports {
		if p.space != "" {
			err = errors.Join(err, ip("netns", "del", p.space))
		}
	}
	return err
}

// plug makes a host and its port on the switch.
func (l *Lab) plug(host int, here bool) (p *port, err error) {
	tap := fmt.Sprintf("%s-%d", l.name, host)
	file, err := openTap(tap)
	if err != nil {
		return nil, err
	}
	p = &port{file: file}
	within := []string{}
	defer func() {
		if err != nil {
			_ = file.Close()
			if p.space != "" {
				_ = ip("netns", "del", p.space)
			}
		}
	}()
	if !here {
		if err := ip("netns", "add", tap); err != nil {
			return nil, err
		}
		p.space = tap
		if err := ip("link", "set", tap, "netns", p.space); err != nil {
			return nil, err
		}
		within = []string{"-n", p.space}
	}
	address := netip.PrefixFrom(l.Address(host), 24).String()
	for _, do := range [][]string{
		{"link", "set", tap, "address", fmt.Sprintf("02:00:00:00:00:%02x", host)},
		{"addr", "add", address, "dev", tap},
		{"link", "set", tap, "up"},
		{"link", "set", "lo", "up"},
	} {
		if err := ip(append(within, do...)...); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// openTap makes an Ethernet interface whose frames are read from and written to a file.
func openTap(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("interface %s: %w", name, err), unix.Close(fd))
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}
