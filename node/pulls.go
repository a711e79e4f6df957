package node

import (
	"context"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// pulls answers what other nodes ask for.
type pulls struct{ sh *shell }

// Transactions implements gossip.Backend.
func (p pulls) Transactions(_ context.Context, ids []domain.Hash, withProofs bool, add func(raw, proof []byte) bool) error {
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
				if proof, err = sh.prove(id, raw, t.Final, false); err != nil {
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
