package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

func txID(i int) domain.Hash { return domain.Sum("test", fmt.Appendf(nil, "%d", i)) }

func points(list ...int) (out []utxo.Outpoint) {
	for _, i := range list {
		out = append(out, utxo.Outpoint{Tx: domain.Hash{1}, Index: uint32(i)})
	}
	return out
}

// chain is A={1,2}, B={2,3}, C={3,4}, and D={9} alone.
func chain() *record {
	r := newRecord()
	for i, p := range [][]utxo.Outpoint{points(1, 2), points(2, 3), points(3, 4), points(9)} {
		r.joined(txID(i), p)
	}
	return r
}

func TestRecordComponents(t *testing.T) {
	r := chain()
	v, ok := r.view(txID(0))
	if !ok || len(v.members) != 3 || v.lowest != points(2)[0] {
		t.Fatalf("%+v", v)
	}
	if n := r.contests(); n != 2 {
		t.Errorf("%d contests", n)
	}
	// A is final: B is rejected, and C is left alone.
	r.decided(conflict.Decided{Final: txID(0), Rejected: []domain.Hash{txID(1)}})
	if o, ok := r.facilitated(txID(2)); !ok || o != points(3)[0] {
		t.Errorf("what is left of C is named by %v", o)
	}
	if _, ok := r.facilitated(txID(1)); ok {
		t.Error("a rejected transaction has a facilitator")
	}
	r.timed(conflict.StartTimer{Kind: conflict.RoundTimer, Tx: txID(2), Round: 3, AfterMS: 500})
	v, _ = r.view(txID(1))
	for _, m := range v.members {
		if open := m.tx == txID(2); open != (m.round == 3) || open != (m.endsMS > 0) || open != m.undecided() {
			t.Errorf("%+v", m)
		}
	}
	r.reached(txID(2), 4)
	if c := r.txs[txID(2)]; c.round != 4 || c.endsMS != 0 {
		t.Errorf("a timer of round 3 runs in round 4: %+v", c)
	}
	r.timed(conflict.StartTimer{Kind: conflict.WaitTimer, Tx: txID(2), Round: 4, AfterMS: 500})
	if c := r.txs[txID(2)]; c.endsMS != 0 {
		t.Errorf("the wait for a facilitator ends a round: %+v", c)
	}
	s := v.summary()
	if s.Decided || s.DecidedMs != 0 || len(s.Winners) != 1 || domain.Hash(s.Winners[0]) != txID(0) || s.Round != 3 {
		t.Errorf("%v", s)
	}
}

func TestRecordForgets(t *testing.T) {
	r := chain()
	r.forget(txID(1)) // links A and C
	r.forget(txID(1))
	if v, _ := r.view(txID(0)); len(v.members) != 1 {
		t.Errorf("%+v", v)
	}
	for _, i := range []int{0, 3, 2} {
		r.forget(txID(i))
	}
	if len(r.txs)+len(r.points)+len(r.order)+len(r.open) != 0 || r.contests() != 0 {
		t.Errorf("%+v", r)
	}
}

// TestRecordLists: pages hold every contest once, newest first, whatever joins between them.
func TestRecordLists(t *testing.T) {
	r := newRecord()
	for i := range 60 {
		r.joined(txID(i), points(i/3)) // 20 contests of three
	}
	var seen []domain.Hash
	before, late := ^uint64(0), 100
	for {
		views, next, _ := r.list(before, 7)
		for _, v := range views {
			if len(v.members) < 3 {
				t.Fatalf("%+v", v)
			}
			seen = append(seen, v.members[0].tx)
		}
		if next == 0 {
			break
		}
		if next >= before {
			t.Fatalf("place %d after %d", next, before)
		}
		before = next
		r.joined(txID(late), points(late)) // new, and a late rival in one that was listed
		r.joined(txID(late+1), points(19))
		late += 2
	}
	if len(seen) != 20 {
		t.Errorf("%d contests listed", len(seen))
	}
	slices.SortFunc(seen, domain.Hash.Compare)
	if len(slices.Compact(seen)) != 20 {
		t.Error("a contest is listed twice")
	}
}

// TestRecordTwin holds components against joining sets by hand, while transactions come and go.
func TestRecordTwin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		r := newRecord()
		spends := map[domain.Hash][]utxo.Outpoint{}
		for i := range 30 {
			if random.IntN(4) == 0 && i > 0 {
				id := txID(random.IntN(i))
				r.forget(id)
				delete(spends, id)
			}
			p := points(random.IntN(12), 12+random.IntN(12))
			r.joined(txID(i), p)
			spends[txID(i)] = p
		}
		for id := range spends {
			v, ok := r.view(id)
			var got []domain.Hash
			for _, m := range v.members {
				got = append(got, m.tx)
			}
			if want := slowComponent(spends, id); !ok || !slices.Equal(got, want) {
				t.Fatalf("%v, want %v", got, want)
			}
		}
	}
}

// slowComponent grows a set until nothing more conflicts with any of it.
func slowComponent(spends map[domain.Hash][]utxo.Outpoint, id domain.Hash) []domain.Hash {
	in := []domain.Hash{id}
	for grown := true; grown; {
		grown = false
		for other, p := range spends {
			if slices.Contains(in, other) {
				continue
			}
			for _, m := range in {
				if slices.ContainsFunc(spends[m], func(o utxo.Outpoint) bool { return slices.Contains(p, o) }) {
					in, grown = append(in, other), true
					break
				}
			}
		}
	}
	slices.SortFunc(in, domain.Hash.Compare)
	return in
}
