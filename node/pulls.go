package node

import (
	"context"
	"math/rand/v2"
	"runtime"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// pulls answers what other nodes ask for.
type pulls struct{ sh *shell }

// Transactions implements gossip.Backend.
func (p pulls) Transactions(ctx context.Context, ids []domain.Hash, withProofs bool, add func(raw, proof []byte) bool) error {
	sh := p.sh
	for _, id := range ids {
		var raw, proof []byte
		if f := sh.flights.get(id); f != nil {
			raw = f.tx.Raw
		} else {
			t, found, err := sh.store.Transaction(id)
			if err != nil {
				return err
			}
			if !found || t.Raw == nil {
				continue
			}
			raw = t.Raw
			if withProofs && t.Final != nil {
				if proof, err = p.proof(ctx, id, t.Final); err != nil {
					return err
				}
			}
		}
		if !add(raw, proof) {
			return nil
		}
	}
	return nil
}

// halfOfProcessors is how many goroutines may do at once what anybody may ask for in any number and takes long. The other half is left to
// what the node is there for.
func halfOfProcessors() int { return max(1, runtime.GOMAXPROCS(0)/2) }

// proof is the encoded proof of a final transaction, nil where what it is made of was pruned. It waits for its turn: for each edge a whole
// observation is read, decoded and hashed again, tens of milliseconds where it is full.
func (p pulls) proof(ctx context.Context, id domain.Hash, info *store.FinalInfo) ([]byte, error) {
	sh := p.sh
	if !put(ctx, sh.proving, struct{}{}) {
		return nil, ctx.Err()
	}
	defer func() { <-sh.proving }()
	made, err := sh.prove(id, nil, info)
	switch {
	case err == nil:
		return made.Encode(), nil
	case pruned(err):
		return nil, nil
	}
	return nil, err
}

// Observations implements gossip.Backend.
func (p pulls) Observations(_ context.Context, r gossip.Range, add func(raw []byte) bool) error {
	for o, err := range p.sh.store.Observations(observation.ChainID{Key: r.Key, SigningEpoch: r.SigningEpoch}, r.From, r.To) {
		if err != nil {
			return err
		}
		if !add(o.Raw) {
			return nil
		}
	}
	return nil
}

// Heads implements gossip.Backend.
func (p pulls) Heads(_ context.Context, add func(gossip.Head) bool) error {
	for _, h := range p.sh.store.Heads() {
		if !add(gossip.Head{Key: h.Key, SigningEpoch: h.SigningEpoch, Height: h.Height, Hash: h.Hash}) {
			return nil
		}
	}
	return nil
}

// Set implements gossip.Backend.
func (p pulls) Set(_ context.Context, asked []setsync.Range) (setsync.Reply, error) {
	return setsync.Answer(p.sh.store.FinalSet(), asked, gossip.SetLimits)
}

// Votes implements gossip.Backend: from the tally, and where the transaction is final here by these votes,
// from the record of that, which outlives the tally.
func (p pulls) Votes(ctx context.Context, v gossip.Votes, add func(raw []byte) bool) error {
	sh := p.sh
	places, err := sh.places(ctx, v)
	if err != nil {
		return err
	}
	// Where not all fit into an answer, another one starts elsewhere.
	from := 0
	if len(places) > 1 {
		from = rand.IntN(len(places))
	}
	for i := range places {
		o, err := sh.voteAt(places[(from+i)%len(places)], v)
		if err != nil {
			return err
		}
		if o != nil && !add(o.Raw) {
			return nil
		}
	}
	return nil
}

// places are where votes lie, one for each voter.
func (sh *shell) places(ctx context.Context, v gossip.Votes) ([]store.EdgeRef, error) {
	var out []store.EdgeRef
	voted := make(map[domain.PublicKey]bool)
	add := func(e store.EdgeRef) {
		if !voted[e.Key] {
			voted[e.Key] = true
			out = append(out, e)
		}
	}
	if v.State == notaryv1.VoteState_VOTE_STATE_ACCEPTED {
		t, found, err := sh.store.Transaction(v.Tx)
		if err != nil {
			return nil, err
		}
		if found && t.Final != nil && t.Final.Round == v.Round && t.Final.Link == v.Link {
			for _, e := range t.Final.Edges {
				add(e)
			}
		}
	}
	counted, err := sh.counting.votes(ctx, v.Tx)
	if err != nil {
		return nil, err
	}
	for _, c := range counted {
		if c.State == observation.State(v.State) && c.Round == v.Round && c.Group.Link() == v.Link {
			add(store.EdgeRef{Key: c.Key(), SigningEpoch: c.SigningEpoch, Height: c.Height, Leaf: c.Leaf})
		}
	}
	return out, nil
}

// voteAt is the observation at a place that holds the vote: the chain's, or a fork of it; nil where it is
// not here.
func (sh *shell) voteAt(e store.EdgeRef, v gossip.Votes) (*observation.Observation, error) {
	chain := observation.ChainID{Key: e.Key, SigningEpoch: e.SigningEpoch}
	o, found, err := sh.store.Observation(chain, e.Height)
	if err != nil {
		return nil, err
	}
	if found && o.Header.Link == v.Link && leafOf(o, v) >= 0 {
		return o, nil
	}
	for o, err := range sh.store.Forks(chain, e.Height) {
		if err != nil {
			return nil, err
		}
		if o.Header.Link == v.Link && leafOf(o, v) >= 0 {
			return o, nil
		}
	}
	return nil, nil
}
