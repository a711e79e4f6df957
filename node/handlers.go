package node

import (
	"bytes"
	"context"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Limits of the proofs of possession that are verified for one neighbour. One takes a millisecond or more and a message has
// room for thousands, all of them valid and the same for all it matters. Metadata beyond that is left to be pulled by whoever
// sees a vote on it.
const (
	possessionBurst  = 256
	possessionWindow = 10 * time.Second
)

// handlers judge what gossip brings, and keep it.
type handlers struct{ sh *shell }

// ValidateTransactions decodes a batch, verifies all its signatures at once, and starts the flights. A
// batch with a transaction that no honest node relays is blamed on the sender; one with a rival of a
// known transaction is kept but not passed on. Only the very bytes that were verified before are passed on without being
// verified again: a copy of a known transaction with a corrupt witness has its id, and whoever relayed it would be blamed by
// neighbours that do not know the transaction. One that has long been final here costs its signatures, and a flight that
// ends when it looks at what it spends: rarer than a look into the store for each of the others is dear.
func (h handlers) ValidateTransactions(ctx context.Context, from domain.PublicKey, raws [][]byte) gossip.Verdict {
	sh := h.sh
	origin := Origin{fromGossip, from.String(), from}
	txs := make([]*utxo.Tx, 0, len(raws))
	var checks []domain.Check
	for _, raw := range raws {
		tx, err := utxo.Decode(bytes.Clone(raw), sh.rules) // else a transaction that waits would keep all of its batch
		if err != nil {
			sh.log.Debug("gossiped transaction refused", "from", from, "err", err)
			return gossip.Reject
		}
		if f := sh.flights.get(tx.ID); f != nil && f.genuine.Load() && f.tx.FullHash == tx.FullHash {
			continue
		}
		txs = append(txs, tx)
		checks = append(checks, tx.Checks()...)
	}
	if len(txs) == 0 {
		return gossip.Take
	}
	// What would find no place is not verified first: that is most of what it costs.
	if sh.admission.full(origin) != nil {
		return gossip.Ignore
	}
	switch bad, err := sh.verifier.verify(ctx, checks); {
	case err != nil:
		return gossip.Ignore
	case bad >= 0:
		sh.log.Debug("gossiped transaction refused", "from", from, "err", "bad signature")
		return gossip.Reject
	}
	verdict, affordable := gossip.Take, txs[:0]
	for _, tx := range txs {
		if tx.Peer != nil && !sh.possessions.passAll(from, len(tx.Peer.Keys)) {
			verdict = gossip.Ignore
			continue
		}
		if err := tx.CheckPossessions(); err != nil {
			sh.log.Debug("gossiped transaction refused", "from", from, "err", err)
			return gossip.Reject
		}
		affordable = append(affordable, tx)
	}
	for _, tx := range affordable {
		if sh.lately.holds(tx.ID) {
			continue
		}
		if _, err := sh.intakeNew(ctx, tx, origin, true); err != nil {
			verdict = gossip.Ignore
		}
	}
	return verdict
}

// ValidateObservation checks the weight, the roots and the signatures behind a run of observations and hands them to
// the observer. Weight is asked for first, by the header alone: keys without any cost nothing to make, and the leaves of
// a run milliseconds to hash.
func (h handlers) ValidateObservation(ctx context.Context, from domain.PublicKey, raw []byte) gossip.Verdict {
	first, err := observation.RunHeader(raw)
	if err == nil && !h.sh.concerns(&first) {
		return gossip.Ignore
	}
	var list []*observation.Observation
	if err == nil {
		list, err = observation.DecodeRun(raw, h.sh.obsRules)
	}
	if err == nil {
		err = h.sh.observe(ctx, list...)
	}
	switch {
	case err == nil:
		return gossip.Take
	case refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED || refusal.ReasonOf(err) == notaryv1.Reason_REASON_OVERLOADED,
		refusal.ReasonOf(err) == notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT:
		return gossip.Ignore
	default:
		h.sh.log.Debug("gossiped observations refused", "from", from, "err", err)
		return gossip.Reject
	}
}

// observed takes an observation in that was pulled.
func (sh *shell) observed(ctx context.Context, raw []byte) error {
	o, err := observation.Decode(raw, sh.obsRules)
	if err != nil {
		return err
	}
	return sh.observe(ctx, o)
}

// concerns reports whether an observation can be of use here: it has weight under its link, or its key counts now and its
// link is not final here yet.
func (sh *shell) concerns(h *observation.Header) bool {
	if g, _ := sh.groupOf(h); g != nil {
		return true
	}
	return sh.lineage.known(h.Link) == nil && sh.follows(h.Chain())
}

// foresee keeps an observation under a link that is not final here yet, where its key counts now. Nobody else's is worth a look at its signature.
func (sh *shell) foresee(o *observation.Observation) error {
	if sh.lineage.known(o.Header.Link) != nil || !sh.follows(o.Header.Chain()) {
		return nil
	}
	if check := o.Check(); !check.Verify() {
		return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "observation %d of %s", o.Header.Height, o.Header.Key)
	}
	if sh.early.keep(o, time.Now()) {
		sh.epochs.ring()
	}
	return nil
}

// observe takes observations of one chain in, all of them or none.
func (sh *shell) observe(ctx context.Context, list ...*observation.Observation) error {
	var light error
	for _, o := range list {
		if err := sh.weighs(o); err != nil {
			light = err
			if err := sh.foresee(o); err != nil {
				return err
			}
		}
	}
	if light != nil {
		return light
	}
	checks := make([]domain.Check, len(list))
	for i, o := range list {
		checks[i] = o.Check()
	}
	bad, err := sh.verifier.verify(ctx, checks)
	if err != nil {
		return err
	}
	if bad >= 0 {
		h := &list[bad].Header
		return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "observation %d of %s", h.Height, h.Key)
	}
	// The own ones too are passed on by whoever calls, so their signatures are looked at first: the name of an observation is
	// the hash of its header, and one that is on record here may come with another signature.
	if sh.signs(list[0].Header.Chain()) {
		for _, o := range list {
			if err := sh.recognise(ctx, o); err != nil {
				return err
			}
		}
		return nil
	}
	if !sh.observer.offer(list...) {
		return refusal.New(notaryv1.Reason_REASON_OVERLOADED, "", "too many observations wait")
	}
	return nil
}

// ValidatePeer refuses peer metadata: it travels in transactions.
func (handlers) ValidatePeer(context.Context, domain.PublicKey, []byte) gossip.Verdict {
	return gossip.Ignore
}

// knows reports whether a transaction is on its way or final here.
func (sh *shell) knows(id domain.Hash) bool {
	if sh.flights.get(id) != nil {
		return true
	}
	final, err := sh.store.IsFinal(id)
	if err != nil {
		sh.fail(err)
	}
	return final
}

// settled reports whether there is nothing to fetch of a transaction: it is on its way, final, or refused
// for good whatever witnesses it comes with.
func (sh *shell) settled(id domain.Hash) bool {
	g, there := sh.graves.find(id)
	return there && g.binds || sh.knows(id)
}

// pulledID reads the id of a transaction that a peer sent on request. Its signatures are checked on
// its way.
func (sh *shell) pulledID(raw, _ []byte) (domain.Hash, error) {
	tx, err := utxo.Decode(raw, sh.rules)
	if err != nil {
		return domain.Hash{}, err
	}
	return tx.ID, nil
}

// pulled takes in a transaction that a peer sent on request.
func (sh *shell) pulled(ctx context.Context, raw []byte) {
	tx, err := utxo.Decode(bytes.Clone(raw), sh.rules) // else it would keep all of the answer
	if err == nil {
		_, err = sh.intake(ctx, tx, Origin{kind: fromPull, name: "pull"}, false)
	}
	if err != nil {
		sh.log.Debug("pulled transaction refused", "err", err)
	}
}

// pulledHeight reads the height of an observation that a peer sent on request.
func (sh *shell) pulledHeight(raw []byte, chain observation.ChainID) (uint64, error) {
	o, err := observation.Decode(raw, sh.obsRules)
	if err != nil {
		return 0, err
	}
	if o.Header.Chain() != chain {
		return 0, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "header", "an observation of another chain")
	}
	check := o.Check()
	if !check.Verify() {
		return 0, refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "observation %d of %s", o.Header.Height, o.Header.Key)
	}
	return o.Header.Height, nil
}
