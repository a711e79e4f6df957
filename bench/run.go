package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Plan is what one network is measured with.
type Plan struct {
	Notaryd string // the program
	// Beside is another program that half of the nodes run, which are a multiple of four then; empty for none.
	Beside string
	Nodes  int
	Live   int
	// Seconds of the closed loop, and Window transactions under way in it, at all nodes together; 0 seconds leave it out.
	Seconds, Window int
	// Rates are open loops of OpenSeconds each.
	Rates       []int
	OpenSeconds int
	// Past says that after them twice the peak is offered, the most that became final of any of them, and held against it.
	Past bool
	// Calls says that each transaction of an open loop is a call of its own, rather than one of a stream.
	Calls    bool
	Settings []string
	// Profile is where a processor profile of the first node in the closed loop goes, and with .RATE appended those of
	// open loops; empty for none.
	Profile string
}

// most is how many transactions are signed for each second of a closed loop.
const most = 60_000

// Run starts a network, measures it and stops it.
func Run(ctx context.Context, p Plan, report func(Figure)) (err error) {
	if p.Past && len(p.Rates) == 0 {
		return errors.New("bench: without rates there is no peak to pass")
	}
	if p.Beside != "" && p.Nodes%4 != 0 {
		return fmt.Errorf("bench: half of %d nodes cannot run beside the others, one of each kind in any two places: a multiple of four", p.Nodes)
	}
	dir, err := os.MkdirTemp("", "notary-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if p.Profile != "" {
		p.Settings = append(p.Settings, "metrics.profile=true")
	}
	net, err := Start(ctx, p.Notaryd, dir, p.Nodes, p.Settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.Stop()) }()
	if p.Beside != "" {
		if err := net.swap(ctx, p.Beside, unlimited(p.Settings)); err != nil {
			return err
		}
	}
	coins, err := net.Mint(ctx, p.Live)
	if err != nil {
		return err
	}
	ceilings, err := ceilingsFor(dir, p.Nodes, p.Live)
	if err != nil {
		return err
	}
	if err := net.idle(ctx); err != nil {
		return err
	}
	r := &session{Plan: p, net: net, coins: coins, ceilings: ceilings, report: report}
	if err := r.open(ctx); err != nil {
		return err
	}
	return r.closed(ctx)
}

// session is the loads on one network.
type session struct {
	Plan
	net      *Network
	coins    *Coins
	ceilings Ceilings
	report   func(Figure)
}

// open has the open loops.
func (r *session) open(ctx context.Context) error {
	var peak *Figure
	for _, rate := range r.Rates {
		f, err := r.openLoop(ctx, rate, nil)
		if err != nil {
			return err
		}
		if peak == nil || f.Final > peak.Final {
			peak = &f
		}
	}
	if !r.Past {
		return nil
	}
	if peak.Final < 1 {
		return errors.New("bench: nothing became final, so there is no peak")
	}
	past, err := r.openLoop(ctx, 2*int(peak.Final), peak)
	if err != nil {
		return err
	}
	return past.CheckPast()
}

// openLoop offers so many transactions a second. peak is what is past, if anything.
func (r *session) openLoop(ctx context.Context, rate int, peak *Figure) (f Figure, err error) {
	if count := rate * r.OpenSeconds; r.Past && count > r.Live {
		return f, fmt.Errorf("bench: %d transactions want as many outputs, since those of what is turned away are not spent: -live", count)
	}
	txs, err := r.coins.Sign(rate * r.OpenSeconds)
	if err != nil {
		return f, err
	}
	load := r.net.Open
	if r.Calls {
		load = r.net.Calls
	}
	f, err = r.measure(ctx, rate, peak, func() (*Outcome, error) {
		return r.net.profiled(ctx, r.profile(rate), r.OpenSeconds, func() (*Outcome, error) { return load(ctx, txs, rate, crowd) })
	})
	if err == nil && f.Refused+f.Failed > 0 { // those coins are not where they should be
		r.coins, err = r.net.Mint(ctx, r.Live)
	}
	return f, err
}

// closed has the closed loop.
func (r *session) closed(ctx context.Context) error {
	if r.Seconds == 0 {
		return nil
	}
	txs, err := r.coins.Sign(r.Seconds * most / r.Nodes)
	if err != nil {
		return err
	}
	_, err = r.measure(ctx, 0, nil, func() (*Outcome, error) {
		return r.net.profiled(ctx, r.profile(0), r.Seconds, func() (*Outcome, error) {
			return r.net.Closed(ctx, txs, r.Live, r.Window/r.Nodes, time.Duration(r.Seconds)*time.Second)
		})
	})
	return err
}

// profile is where the profile of a load goes: the closed loop's to Plan.Profile, those of open ones beside it.
func (p *Plan) profile(rate int) string {
	if p.Profile == "" || rate == 0 {
		return p.Profile
	}
	return fmt.Sprintf("%s.%d", p.Profile, rate)
}

// profiled has a load profiled where a path says.
func (n *Network) profiled(ctx context.Context, path string, seconds int, load func() (*Outcome, error)) (*Outcome, error) {
	written := make(chan error, 1)
	go func() { written <- n.profile(ctx, path, seconds) }()
	out, err := load()
	return out, errors.Join(err, <-written)
}

// measure reads all counters before and after a load, and reports what that makes of it.
func (r *session) measure(ctx context.Context, offered int, peak *Figure, load func() (*Outcome, error)) (f Figure, err error) {
	if r.ceilings.PageUS, err = touchMemory(touchedBytes); err != nil {
		return f, err
	}
	before, err := r.net.Usage(ctx)
	if err != nil {
		return f, err
	}
	out, err := load()
	if err != nil {
		return f, err
	}
	after, err := r.net.settled(ctx, before.Finals+float64(len(out.Latencies)))
	if err != nil {
		return f, err
	}
	f = figure(r.net, r.Live, offered, out, after.minus(before), r.ceilings)
	if peak != nil {
		f.OfPeak, f.P99OfPeak = f.Final/peak.Final, f.P99/peak.P99
	}
	r.report(f)
	return f, nil
}

// settled waits until every node holds as many finals, which a client of another has seen already. What a node missed
// under load it finds out when it compares with others, every 30 s.
func (n *Network) settled(ctx context.Context, finals float64) (u Usage, err error) {
	for range 900 {
		if u, err = n.Usage(ctx); err != nil || u.Finals >= finals {
			return u, err
		}
		select {
		case <-ctx.Done():
			return u, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return u, errors.New("bench: a node does not catch up")
}

// idle waits until the nodes have done what making the coins left to do in the background, compactions above all: until
// they use less than a twentieth of a processor.
func (n *Network) idle(ctx context.Context) error {
	const look = 500 * time.Millisecond
	before, err := n.Usage(ctx)
	for err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(look):
		}
		var u Usage
		if u, err = n.Usage(ctx); err == nil && u.CPU-before.CPU < time.Duration(len(n.Nodes))*look/20 {
			return nil
		}
		before = u
	}
	return err
}

// ceilingsFor measures with transactions like those of the load.
func ceilingsFor(dir string, nodes, live int) (Ceilings, error) {
	network := domain.Sum(domain.TagGenesis, []byte("bench"))
	key := domain.NewPrivateKey(network)
	to := utxo.KeyLock(key.Public()).Address()
	txs := make([]*utxo.Tx, 1024)
	for i := range txs {
		var err error
		at := utxo.Outpoint{Tx: network, Index: uint32(i)}
		owner := domain.NewPrivateKey(domain.Sum(domain.TagLock, []byte{byte(i), byte(i >> 8)}))
		if txs[i], err = finish(utxo.NewBuilder(network).Spend(at).Pay(to, domain.Hash{}, coinAmount), owner); err != nil {
			return Ceilings{}, err
		}
	}
	return MeasureCeilings(filepath.Join(dir, "ceiling"), txs, utxo.Rules{Network: network}, nodes, live)
}

// profile keeps what the first node does for some seconds, for go tool pprof, where a path says.
func (n *Network) profile(ctx context.Context, path string, seconds int) error {
	if path == "" {
		return nil
	}
	b, err := get(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", n.file.Nodes[0].Metrics, seconds))
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}
