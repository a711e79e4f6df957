package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// Lag is what became of a node that stood still under load.
type Lag struct {
	Nodes int
	// Stopped is for how long it stood still, Rate what the others made final meanwhile and after, a second.
	Stopped time.Duration
	Rate    float64
	// Behind is how many finals it lacked when it went on, CaughtUp how long it took from then until it had all that clients
	// were told of, and Loaded for how much of that the load went on.
	Behind           float64
	CaughtUp, Loaded time.Duration
}

// String is one line for people.
func (l Lag) String() string {
	return fmt.Sprintf("%d nodes, %.0f tx/s: one that stood still for %v was %.0f transactions behind and had all %.1f s later, %.1f s of it under load",
		l.Nodes, l.Rate, l.Stopped, l.Behind, l.CaughtUp.Seconds(), l.Loaded.Seconds())
}

// RunLag starts a network, puts a closed loop to all nodes but the last, and has that one stand still (SIGSTOP) for a while, a
// third of the loop after its beginning.
func RunLag(ctx context.Context, p Plan, still time.Duration) (lag Lag, err error) {
	lag.Nodes, lag.Stopped = p.Nodes, still
	dir, err := os.MkdirTemp("", "notary-bench-")
	if err != nil {
		return lag, err
	}
	defer os.RemoveAll(dir)
	net, err := Start(ctx, p.Notaryd, dir, p.Nodes, p.Settings)
	if err != nil {
		return lag, err
	}
	defer func() { err = errors.Join(err, net.Stop()) }()
	coins, err := net.Mint(ctx, p.Live)
	if err != nil {
		return lag, err
	}
	txs, err := coins.Sign(p.Seconds * most / p.Nodes)
	if err != nil {
		return lag, err
	}
	before, err := net.Usage(ctx)
	if err != nil {
		return lag, err
	}
	last := len(net.Nodes) - 1
	others := &Network{Nodes: net.Nodes[:last]}
	length := time.Duration(p.Seconds) * time.Second
	begun := time.Now()
	on := make(chan error, 1)
	var wentOn time.Time
	go func() {
		on <- func() error {
			if !sleep(ctx, length/3) {
				return ctx.Err()
			}
			if err := syscall.Kill(net.pids[last], syscall.SIGSTOP); err != nil {
				return err
			}
			slept := sleep(ctx, still)
			ahead, err := metrics(ctx, net.file.Nodes[0].Metrics)
			wentOn = time.Now()
			if e := syscall.Kill(net.pids[last], syscall.SIGCONT); e != nil || err != nil || !slept {
				return errors.Join(e, err, ctx.Err())
			}
			behind, err := metrics(ctx, net.file.Nodes[last].Metrics)
			lag.Behind = ahead["notary_transactions_final_total"] - behind["notary_transactions_final_total"]
			return err
		}()
	}()
	out, err := others.Closed(ctx, txs, p.Live, p.Window/p.Nodes, length)
	if err = errors.Join(err, <-on); err != nil {
		return lag, err
	}
	ended := begun.Add(out.Elapsed)
	lag.Rate, lag.Loaded = out.Rate(), max(ended.Sub(wentOn), 0)
	_, err = net.settled(ctx, before.Finals+float64(len(out.Latencies)))
	lag.CaughtUp = time.Since(wentOn)
	return lag, err
}

// sleep waits; false says that ctx has ended.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
