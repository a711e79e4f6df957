package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/notarynet/notaryd/api"
	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Floods are what a hostile client, or a stranger among the peers, throws at a network:
//
//	dust          valid transactions over streams, as fast as they are taken
//	signatures    transactions that are right but for their signatures
//	rivals        transactions that all spend one outpoint
//	calls         calls that fail, and streams that are opened and left
//	observations  signed observations of a key without weight, over gossip
var Floods = []string{"dust", "signatures", "rivals", "calls", "observations"}

// FloodFigure is what a flood did to honest clients.
type FloodFigure struct {
	Kind string `json:"kind"`
	// Factor is the flood's rate over the honest one; Honest and Flood are a second.
	Factor int `json:"factor"`
	Honest int `json:"honest_tx_per_s"`
	// Sent is what the flood got rid of, a second; Taken what came of it that was no refusal.
	Sent  float64 `json:"flood_sent_per_s"`
	Taken float64 `json:"flood_taken_per_s"`
	// Baseline and P99 are the honest 99th percentiles to the proof in hand, without and with the flood.
	Baseline float64 `json:"baseline_p99_ms"`
	P99      float64 `json:"p99_ms"`
	Ratio    float64 `json:"ratio"`
	Failed   int     `json:"honest_failed"`
	PeakMB   float64 `json:"peak_mb"`
}

// attacker is a client at another address than the honest ones.
type attacker struct {
	*stranger
	net   *Network
	sent  atomic.Int64
	taken atomic.Int64
}

// attackerAddress is where attackers connect from.
const attackerAddress = "127.0.0.2"

// prepare readies one kind, and returns what throws it at the network, rate a second, until its context ends.
func (a *attacker) prepare(kind string, rate int, coins *Coins) (func(context.Context) error, error) {
	streamed := func(tx func(i int) []byte) (func(context.Context) error, error) {
		return func(ctx context.Context) error { return a.stream(ctx, rate, tx) }, nil
	}
	switch kind {
	case "dust":
		txs, err := coins.Sign(len(coins.queue))
		if err != nil {
			return nil, err
		}
		return streamed(func(i int) []byte { return txs[i%len(txs)].Raw })
	case "signatures":
		txs, err := coins.Sign(min(len(coins.queue), 4096))
		if err != nil {
			return nil, err
		}
		return streamed(func(i int) []byte {
			raw := append([]byte(nil), txs[i%len(txs)].Raw...)
			raw[len(raw)-1-i/len(txs)%32] ^= byte(1 + i%255) // in the signature, which comes last
			return raw
		})
	case "rivals":
		from, key := coins.queue[0], coins.keys[coins.queue[0].owner]
		coins.queue = coins.queue[1:]
		return streamed(func(i int) []byte {
			d, err := utxo.NewBuilder(coins.network).Spend(from.at).Pay(coins.addrs[i%owners], domain.Hash{}, from.amount).
				Salt(fmt.Append(nil, i)).Build()
			if err != nil {
				return nil
			}
			return d.Sign(key).Raw()
		})
	case "calls":
		return func(ctx context.Context) error { return a.calls(ctx, rate) }, nil
	case "observations":
		return func(ctx context.Context) error { return a.gossip(ctx, rate) }, nil
	}
	return nil, fmt.Errorf("bench: no flood %q", kind)
}

// stream sends what tx makes over a stream to each node, in turn.
func (a *attacker) stream(ctx context.Context, rate int, tx func(i int) []byte) error {
	var all sync.WaitGroup
	defer all.Wait()
	for k, api := range a.apis {
		stream, err := api.SubmitTransactions(ctx)
		if err != nil {
			return err
		}
		all.Go(func() {
			for {
				answer, err := stream.Recv()
				if err != nil {
					return
				}
				if answer.GetStatus().GetRejection() == nil {
					a.taken.Add(1)
				}
			}
		})
		all.Go(func() {
			a.paced(ctx, rate/len(a.apis)+1, func(i int) bool {
				raw := tx(i*len(a.apis) + k)
				return stream.Send(&notaryv1.SubmitTransactionsRequest{Sequence: uint64(i), Transaction: raw, WaitFor: client.WaitPending}) == nil
			})
		})
	}
	return nil
}

// calls asks for what is not there, and opens streams without end.
func (a *attacker) calls(ctx context.Context, rate int) error {
	var all sync.WaitGroup
	defer all.Wait()
	slots := make(chan struct{}, 512)
	a.paced(ctx, rate, func(i int) bool {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			api := a.apis[i%len(a.apis)]
			if i%4 == 0 {
				short, cancel := context.WithTimeout(ctx, time.Second)
				defer cancel()
				if stream, err := api.WatchAcceptances(short, &notaryv1.WatchAcceptancesRequest{}); err == nil {
					_, _ = stream.Recv() // whatever comes of it
				}
				return
			}
			id := domain.Sum(domain.TagTx, fmt.Append(nil, i))
			_, _ = api.GetTransaction(ctx, &notaryv1.GetTransactionRequest{TransactionId: id[:]})
		})
		return true
	})
	return nil
}

// gossip is a peer that nobody knows and that signs observations of its own.
func (a *attacker) gossip(ctx context.Context, rate int) error {
	var seed [32]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return err
	}
	genesis, key := a.net.Nodes[0].Genesis(), domain.NewPrivateKey(seed)
	config := gossip.DefaultConfig(genesis.ID, key)
	config.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	var err error
	if config.Bootstrap, err = a.net.peers(); err != nil {
		return err
	}
	peer, err := gossip.New(ctx, config, gossip.Nobody{}, gossip.NewMetrics(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	head := observation.Head{Key: key.Public()}
	leaves := make([]observation.Leaf, 16)
	for i := range leaves {
		leaves[i] = observation.Leaf{Type: observation.SubjectTx, State: observation.Pending}
	}
	a.paced(ctx, rate, func(i int) bool {
		for k := range leaves {
			leaves[k].Subject = domain.Sum(domain.TagTx, fmt.Append(nil, i, k))
			leaves[k].TimeMS = uint64(time.Now().UnixMilli())
		}
		draft := observation.Seal(head, genesis.Group, leaves, leaves[0].TimeMS)
		o := draft.Signed(domain.Sign(key, domain.TagObservation, genesis.ID, draft.HeaderHash()))
		head = o.Head()
		_ = peer.PublishObservation(observation.EncodeRuns([]*observation.Observation{o})[0]) // a full queue loses it: the flood is what the node takes
		return true
	})
	return peer.Close()
}

// paced calls do rate times a second until ctx ends or it says false. What is late is made up for at once.
func (a *attacker) paced(ctx context.Context, rate int, do func(i int) bool) {
	start := time.Now()
	for i := 0; ctx.Err() == nil; i++ {
		if wait := time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(rate))); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		if !do(i) {
			return
		}
		a.sent.Add(1)
	}
}

// FloodPlan is what floods are measured with.
type FloodPlan struct {
	Notaryd                string
	Nodes, Honest, Seconds int
	Factors                []int
	Kinds                  []string
}

// RunFloods measures each kind at each factor against a baseline taken right before it, on one network.
func RunFloods(ctx context.Context, p FloodPlan, dir string, report func(FloodFigure)) (err error) {
	// A devnet bounds no client's calls. Four nodes share this machine, so each allows a quarter of what it does by default.
	limits := api.DefaultConfig().Limits
	n, err := start(ctx, p.Notaryd, dir, p.Nodes, []string{
		fmt.Sprint("api.calls_per_second=", limits.CallsPerSecond/4), fmt.Sprint("api.call_burst=", limits.CallBurst/4)})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, n.Stop()) }()
	honest, err := n.Mint(ctx, 20_000)
	if err != nil {
		return err
	}
	theirs, err := n.Mint(ctx, 20_000)
	if err != nil {
		return err
	}
	for _, kind := range p.Kinds {
		for _, factor := range p.Factors {
			f, err := n.underFlood(ctx, p, kind, factor, honest, theirs)
			if err != nil {
				return fmt.Errorf("%s x %d: %w", kind, factor, err)
			}
			report(f)
		}
	}
	return nil
}

func (n *Network) underFlood(ctx context.Context, p FloodPlan, kind string, factor int, honest, theirs *Coins) (f FloodFigure, err error) {
	f = FloodFigure{Kind: kind, Factor: factor, Honest: p.Honest}
	pay := func() (*Outcome, error) {
		txs, err := honest.Sign(p.Honest * p.Seconds)
		if err != nil {
			return nil, err
		}
		return n.Calls(ctx, txs, p.Honest, 1)
	}
	calm, err := pay()
	if err != nil {
		return f, err
	}
	from, err := newStranger(n, attackerAddress)
	if err != nil {
		return f, err
	}
	a := &attacker{stranger: from, net: n}
	defer func() { err = errors.Join(err, a.close()) }()
	flood, err := a.prepare(kind, factor*p.Honest, theirs)
	if err != nil {
		return f, err
	}
	attack, end := context.WithCancel(ctx)
	defer end()
	ended := make(chan error, 1)
	began := time.Now()
	go func() { ended <- flood(attack) }()
	storm, err := pay()
	took := time.Since(began).Seconds()
	end()
	if e := <-ended; e != nil && !errors.Is(e, context.Canceled) {
		err = errors.Join(err, e)
	}
	if err != nil {
		return f, err
	}
	u, err := n.Usage(ctx)
	f.Sent, f.Taken = float64(a.sent.Load())/took, float64(a.taken.Load())/took
	f.Baseline, f.P99, f.PeakMB = calm.Percentile(99), storm.Percentile(99), u.PeakRSS/1e6
	f.Failed = storm.Failed + storm.Refused
	if f.Baseline > 0 {
		f.Ratio = f.P99 / f.Baseline
	}
	return f, err
}
