package conflict

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Bounds on what others can make a Witness remember.
const (
	// MaxWitnessed is how many contested transactions are watched; the oldest gives way.
	MaxWitnessed = 4096
	// maxWitnessedRounds is how many rounds of one chain are remembered for each outpoint and state, the
	// lowest: whoever votes in rounds that nobody else reaches spoils nothing but its own votes.
	maxWitnessedRounds = 256
)

// Deed is a vote and its place in the chain of who cast it.
type Deed struct {
	Tx     domain.Hash
	State  observation.State
	Round  uint32
	Height uint64
	Leaf   uint32
}

// before reports whether d was placed earlier in its chain than o.
func (d *Deed) before(o *Deed) bool {
	return cmp.Or(cmp.Compare(d.Height, o.Height), cmp.Compare(d.Leaf, o.Leaf)) < 0
}

// Breach is two votes of one chain that contradict each other (docs/spec/evidence.md, section 3). The first is
// the one that was heard first; which one is placed first they say themselves.
type Breach struct {
	Kind  notaryv1.EvidenceKind
	Chain observation.ChainID
	Deeds [2]Deed
}

// Witness finds votes that contradict each other. Only votes on transactions that conflict do, so it is told of
// contested transactions and of the votes on them, in any order and as often as it pleases. A chain that
// contradicts itself on what is watched is found out at the latest by the vote that completes the contradiction.
// Votes must have been checked: a Witness believes what it hears. Not for concurrent use.
type Witness struct {
	limit  int
	spends map[domain.Hash][]utxo.Outpoint
	order  []domain.Hash // oldest first
	points map[utxo.Outpoint]*watched
	out    []Breach
}

// watched is one outpoint: how many transactions spend it, and what every chain did there.
type watched struct {
	txs    int
	chains map[observation.ChainID]*deeds
}

// deeds are the votes of one chain on the spenders of one outpoint, by round, one for each round and state: of one
// transaction, since another's in the same round is a breach. Of several places of a vote the earliest PENDING and
// the latest ACCEPTED are kept: if any two are a breach, these are.
type deeds struct{ pending, accepted []Deed }

// NewWitness watches at most limit transactions; the oldest gives way.
func NewWitness(limit int) *Witness {
	if limit < 2 {
		panic("conflict: a witness of fewer than two transactions")
	}
	return &Witness{limit: limit, spends: make(map[domain.Hash][]utxo.Outpoint), points: make(map[utxo.Outpoint]*watched)}
}

// Watch takes a contested transaction in; spends is kept and must not change. It returns the transaction that gave
// way to it, if one did, and reports whether this one is new.
func (w *Witness) Watch(tx domain.Hash, spends []utxo.Outpoint) (gone domain.Hash, added bool) {
	if _, known := w.spends[tx]; known {
		return gone, false
	}
	if len(w.order) >= w.limit {
		gone = w.order[0]
		w.order = w.order[1:]
		w.forget(gone)
	}
	w.spends[tx] = spends
	w.order = append(w.order, tx)
	for _, o := range spends {
		p := w.points[o]
		if p == nil {
			p = &watched{chains: make(map[observation.ChainID]*deeds)}
			w.points[o] = p
		}
		p.txs++
	}
	return gone, true
}

// Len is the number of transactions that are watched.
func (w *Witness) Len() int { return len(w.spends) }

func (w *Witness) forget(tx domain.Hash) {
	of := func(d Deed) bool { return d.Tx == tx }
	for _, o := range w.spends[tx] {
		p := w.points[o]
		if p.txs--; p.txs == 0 {
			delete(w.points, o)
			continue
		}
		for chain, d := range p.chains {
			d.pending, d.accepted = slices.DeleteFunc(d.pending, of), slices.DeleteFunc(d.accepted, of)
			if len(d.pending)+len(d.accepted) == 0 {
				delete(p.chains, chain)
			}
		}
	}
	delete(w.spends, tx)
}

// Hear takes a vote and returns what it contradicts, nil for nearly every one. The same breach may come again. The
// result is good until the next call.
func (w *Witness) Hear(v *Vote) []Breach {
	if !guarded(v.State) || !v.counts() {
		return nil
	}
	w.out = w.out[:0]
	chain := observation.ChainID{Key: v.Key(), SigningEpoch: v.SigningEpoch}
	deed := Deed{Tx: v.Tx, State: v.State, Round: v.Round, Height: v.Height, Leaf: v.Leaf}
	for _, o := range w.spends[v.Tx] {
		p := w.points[o]
		d := p.chains[chain]
		if d == nil {
			d = new(deeds)
			p.chains[chain] = d
		}
		w.hear(chain, d, &deed)
	}
	return w.out
}

func (w *Witness) hear(chain observation.ChainID, d *deeds, n *Deed) {
	if n.State == observation.Pending {
		d.pending = w.keep(chain, d.pending, n, notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING)
		for i := range d.accepted {
			a := &d.accepted[i]
			if a.Round >= n.Round {
				break
			}
			if a.Tx != n.Tx && n.before(a) {
				w.found(notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING, chain, a, n)
			}
		}
		return
	}
	d.accepted = w.keep(chain, d.accepted, n, notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED)
	for i := len(d.pending) - 1; i >= 0; i-- {
		p := &d.pending[i]
		if p.Round <= n.Round {
			break
		}
		if p.Tx != n.Tx && p.before(n) {
			w.found(notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING, chain, p, n)
		}
	}
}

// keep enters a deed into those of its state, or finds that its round is taken by another transaction.
func (w *Witness) keep(chain observation.ChainID, list []Deed, n *Deed, kind notaryv1.EvidenceKind) []Deed {
	i, taken := slices.BinarySearchFunc(list, n.Round, func(d Deed, round uint32) int { return cmp.Compare(d.Round, round) })
	switch {
	case taken && list[i].Tx != n.Tx:
		w.found(kind, chain, &list[i], n)
	case taken:
		if n.before(&list[i]) == (n.State == observation.Pending) {
			list[i] = *n
		}
	case len(list) < maxWitnessedRounds:
		list = slices.Insert(list, i, *n)
	case i < len(list):
		list = slices.Insert(list[:len(list)-1], i, *n)
	}
	return list
}

func (w *Witness) found(kind notaryv1.EvidenceKind, chain observation.ChainID, first, second *Deed) {
	w.out = append(w.out, Breach{Kind: kind, Chain: chain, Deeds: [2]Deed{*first, *second}})
}
