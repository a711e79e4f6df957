package utxo

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// ErrDelta says that a delta does not fit the set it is applied to or undone in: a broken invariant
// of whoever calls, since Validate makes only deltas that fit.
var ErrDelta = errors.New("delta does not fit")

// Set is the outputs of all final transactions, in memory: for tests, simulators and wallets. The zero
// value is empty and ready.
type Set struct {
	entries map[Outpoint]Entry
}

// Lookup implements View.
func (s *Set) Lookup(o Outpoint) (Entry, bool) {
	e, ok := s.entries[o]
	return e, ok
}

// Len is the number of outputs, spent ones included.
func (s *Set) Len() int { return len(s.entries) }

// Live are the outpoints that are not spent, ascending.
func (s *Set) Live() []Outpoint {
	live := make([]Outpoint, 0, len(s.entries))
	for o, e := range s.entries {
		if e.SpentBy.IsZero() {
			live = append(live, o)
		}
	}
	slices.SortFunc(live, Outpoint.Compare)
	return live
}

// Equal reports whether two sets hold the same outputs in the same state.
func (s *Set) Equal(t *Set) bool {
	return maps.EqualFunc(s.entries, t.entries, func(a, b Entry) bool {
		return a.FinalMS == b.FinalMS && a.SpentBy == b.SpentBy && a.Output.Equal(&b.Output)
	})
}

// Apply makes a transaction final at finalMS: all of its delta or, with ErrDelta, nothing.
func (s *Set) Apply(d Delta, finalMS uint64) error {
	for _, x := range d.Spent {
		if e, ok := s.entries[x.Outpoint]; ok == x.Origin() || !e.SpentBy.IsZero() {
			return fmt.Errorf("%w: %s is not live", ErrDelta, x.Outpoint)
		}
	}
	for _, c := range d.Created {
		if _, ok := s.entries[c.Outpoint]; ok {
			return fmt.Errorf("%w: %s exists", ErrDelta, c.Outpoint)
		}
	}
	if s.entries == nil {
		s.entries = make(map[Outpoint]Entry)
	}
	for _, x := range d.Spent {
		e := s.entries[x.Outpoint]
		if x.Origin() {
			e = x.Entry
		}
		e.SpentBy = d.Tx
		s.entries[x.Outpoint] = e
	}
	for _, c := range d.Created {
		s.entries[c.Outpoint] = Entry{Output: c.Output, FinalMS: finalMS}
	}
	return nil
}

// Revert undoes the Apply of the same delta: all of it or, with ErrDelta, nothing.
func (s *Set) Revert(d Delta) error {
	for _, x := range d.Spent {
		if e, ok := s.entries[x.Outpoint]; !ok || e.SpentBy != d.Tx {
			return fmt.Errorf("%w: %s is not spent by %s", ErrDelta, x.Outpoint, d.Tx)
		}
	}
	for _, c := range d.Created {
		if e, ok := s.entries[c.Outpoint]; !ok || !e.SpentBy.IsZero() {
			return fmt.Errorf("%w: %s is not live", ErrDelta, c.Outpoint)
		}
	}
	for _, x := range d.Spent {
		if s.entries[x.Outpoint] = x.Entry; x.Origin() {
			delete(s.entries, x.Outpoint)
		}
	}
	for _, c := range d.Created {
		delete(s.entries, c.Outpoint)
	}
	return nil
}

// GenesisDelta is what exists from the start, as outputs (network id, position) of the genesis
// document: its allocations, then one REWARD output for each reward epoch, then the LINK output that
// holds the group of epoch 0. The last two kinds are spent under rules of their own.
func GenesisDelta(g *group.Genesis) (Delta, error) {
	d := Delta{Tx: g.ID}
	create := func(o Output) {
		d.Created = append(d.Created, Created{Outpoint: Outpoint{Tx: g.ID, Index: uint32(len(d.Created))}, Output: o})
	}
	var all sums
	for i, p := range g.Doc.GetAllocations() {
		o, err := allocation(p)
		if err != nil {
			return Delta{}, refusal.Under(element("allocations", i), err)
		}
		if !all.add(o.Product, o.Amount) {
			return Delta{}, refusal.New(notaryv1.Reason_REASON_AMOUNT_OVERFLOW, element("allocations", i)+".amount", "the allocations of a product sum above 64 bits")
		}
		create(o)
	}
	for range g.Doc.GetRewards().GetEpochs() {
		create(Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_REWARD, Amount: g.Doc.GetRewards().GetUnitsPerEpoch()})
	}
	create(Output{
		Kind: notaryv1.OutputKind_OUTPUT_KIND_LINK,
		Data: &Data{Kind: notaryv1.DataKind_DATA_KIND_GROUP, Payload: g.Group.Bytes()},
	})
	return d, nil
}

// FirstLink is the outpoint of the LINK output of a genesis document.
func FirstLink(g *group.Genesis) Outpoint {
	return Outpoint{Tx: g.ID, Index: uint32(len(g.Doc.GetAllocations())) + g.Doc.GetRewards().GetEpochs()}
}

// allocation checks one output of a genesis document as if a transaction had made it.
func allocation(p *notaryv1.Output) (Output, error) {
	b, err := canonical.Marshal(p)
	if err != nil {
		return Output{}, err
	}
	o, err := DecodeOutput(b)
	if err != nil {
		return Output{}, err
	}
	if ofNetwork(o.Kind) {
		return o, refusal.New(notaryv1.Reason_REASON_RESERVED_OUTPUT, "kind", "%s is not to be allocated", o.Kind)
	}
	return o, CheckOutput(&o)
}
