package conflict

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

const (
	twoPending   = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING
	twoAccepted  = notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED
	afterPending = notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING
)

// contradicts is the rule of docs/spec/evidence.md, section 3, word for word, for two votes of one chain on
// transactions that conflict.
func contradicts(a, b *Vote) (notaryv1.EvidenceKind, bool) {
	edge := func(v *Vote) *observation.Edge {
		return &observation.Edge{
			Header:    observation.Header{Key: v.Key(), SigningEpoch: v.SigningEpoch, Height: v.Height},
			LeafIndex: v.Leaf,
			Leaf:      observation.Leaf{Subject: v.Tx, Type: observation.SubjectTx, State: v.State, Round: v.Round},
		}
	}
	kind := observation.Contradiction(edge(a), edge(b))
	return kind, kind != notaryv1.EvidenceKind_EVIDENCE_KIND_UNSPECIFIED
}

// contestedWorld is a set of transactions over few outpoints, so that most conflict with some and not with others.
type contestedWorld struct {
	group  *group.Group
	spends map[domain.Hash][]utxo.Outpoint
	ids    []domain.Hash
}

func drawContested(t *rapid.T, g *group.Group) *contestedWorld {
	w := &contestedWorld{group: g, spends: map[domain.Hash][]utxo.Outpoint{}}
	for i := range rapid.IntRange(2, 6).Draw(t, "txs") {
		var spends []utxo.Outpoint
		for _, n := range rapid.SliceOfNDistinct(rapid.IntRange(0, 4), 1, 3, rapid.ID[int]).Draw(t, "spends") {
			spends = append(spends, outpoint(n))
		}
		w.ids = append(w.ids, tx(i))
		w.spends[tx(i)] = spends
	}
	return w
}

func (w *contestedWorld) conflict(a, b domain.Hash) bool {
	return a != b && slices.ContainsFunc(w.spends[a], func(o utxo.Outpoint) bool { return slices.Contains(w.spends[b], o) })
}

func (w *contestedWorld) vote(voter int, id domain.Hash, s observation.State, round uint32, height uint64, leaf uint32) Vote {
	return Vote{Tx: id, State: s, Round: round, Group: w.group, Voter: voter, Height: height, Leaf: leaf}
}

// guilty are the voters of whom any two votes contradict each other: the slow way.
func (w *contestedWorld) guilty(votes []Vote) map[int]bool {
	out := map[int]bool{}
	for i := range votes {
		for j := range votes[:i] {
			a, b := &votes[i], &votes[j]
			if _, bad := contradicts(a, b); bad && w.conflict(a.Tx, b.Tx) {
				out[a.Voter] = true
			}
		}
	}
	return out
}

// testify lets a witness watch and hear in a drawn order, votes repeated at will, and holds every breach against the
// rule. It returns who was found out.
func (w *contestedWorld) testify(t *rapid.T, votes []Vote) map[int]bool {
	witness := NewWitness(len(w.ids))
	found := map[int]bool{}
	hear := func(v Vote) {
		for _, b := range witness.Hear(&v) {
			i, _ := w.group.Voter(b.Chain.Key)
			x, y := w.restore(i, b.Deeds[0]), w.restore(i, b.Deeds[1])
			kind, bad := contradicts(&x, &y)
			if !bad || kind != b.Kind || !w.conflict(x.Tx, y.Tx) || !slices.Contains(votes, x) || !slices.Contains(votes, y) {
				t.Fatalf("%+v is no breach", b)
			}
			found[i] = true
		}
	}
	heard := rapid.Permutation(votes).Draw(t, "order")
	late := rapid.IntRange(0, len(w.ids)).Draw(t, "late")
	for _, id := range w.ids[late:] {
		witness.Watch(id, w.spends[id])
	}
	half := len(heard) / 2
	for _, v := range heard[:half] {
		if slices.Contains(w.ids[late:], v.Tx) {
			hear(v)
		}
	}
	for _, id := range w.ids[:late] { // joins with what was counted before
		witness.Watch(id, w.spends[id])
		for _, v := range heard[:half] {
			if v.Tx == id {
				hear(v)
			}
		}
	}
	for _, v := range heard[half:] {
		hear(v)
		if rapid.Bool().Draw(t, "again") {
			hear(v)
		}
	}
	return found
}

func (w *contestedWorld) restore(voter int, d Deed) Vote {
	return w.vote(voter, d.Tx, d.State, d.Round, d.Height, d.Leaf)
}

// TestWitnessFindsWhatIsThere: whatever was voted and in whatever order it is heard, those and only those are found
// out of whom two votes contradict each other.
func TestWitnessFindsWhatIsThere(t *testing.T) {
	g := equalGroup(t, 3)
	guilty, innocent := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawContested(t, g)
		var votes []Vote
		for i := range rapid.IntRange(0, 24).Draw(t, "votes") {
			votes = append(votes, w.vote(
				rapid.IntRange(0, 2).Draw(t, "voter"),
				rapid.SampledFrom(w.ids).Draw(t, "tx"),
				observation.State(rapid.Uint8Range(1, 5).Draw(t, "state")),
				uint32(rapid.IntRange(0, 4).Draw(t, "round")),
				uint64(rapid.IntRange(1, 4).Draw(t, "height")), uint32(i),
			))
		}
		want, got := w.guilty(votes), w.testify(t, votes)
		for i := range 3 {
			if want[i] != got[i] {
				t.Fatalf("voter %d: found out %v, want %v", i, got[i], want[i])
			}
			if want[i] {
				guilty++
			} else {
				innocent++
			}
		}
	})
	if guilty == 0 || innocent == 0 {
		t.Fatalf("%d guilty, %d innocent: nothing was tested", guilty, innocent)
	}
}

// TestWitnessSparesTheHonest: a voter that keeps a Guard, restored from its records now and then, signs what it is
// asked for in any order, and is never found out; one vote more that the guard refuses finds it out, unless it is
// refused for reasons that convict nobody (N2, N3).
func TestWitnessSparesTheHonest(t *testing.T) {
	g := equalGroup(t, 1)
	planted := 0
	rapid.Check(t, func(t *rapid.T) {
		w := drawContested(t, g)
		guard := NewGuard()
		var votes []Vote
		var records []Record
		height := uint64(0)
		draw := func() (OwnVote, Vote) {
			id := rapid.SampledFrom(w.ids).Draw(t, "tx")
			s := observation.State(rapid.Uint8Range(1, 2).Draw(t, "state"))
			round := uint32(rapid.IntRange(0, 4).Draw(t, "round"))
			own := OwnVote{Tx: id, Spends: w.spends[id], State: s, Round: round}
			if s == observation.Accepted {
				own.Certificate = CertAt(0, round)
			} else if round > 0 && rapid.Bool().Draw(t, "certified") {
				own.Certificate = CertAt(0, round-1)
			}
			height++
			return own, w.vote(0, id, s, round, height, 0)
		}
		for range rapid.IntRange(0, 24).Draw(t, "votes") {
			own, v := draw()
			if guard.Check(own) == nil {
				records = append(records, guard.Record(own)...)
				votes = append(votes, v)
			}
			switch rapid.IntRange(0, 5).Draw(t, "event") {
			case 0: // a restart
				guard = NewGuard()
				guard.Restore(records)
			case 1: // a rival became final: the lock goes, the votes stay
				id := rapid.SampledFrom(w.ids).Draw(t, "rejected")
				records = append(records, guard.Reject(id, w.spends[id])...)
			}
		}
		if found := w.testify(t, votes); len(found) > 0 {
			t.Fatal("an honest voter was found out")
		}
		own, v := draw()
		err := guard.Check(own)
		if err == nil || err == ErrAlreadyCast || err == ErrLocked || err == ErrNoCertificate {
			return
		}
		planted++
		if found := w.testify(t, append(votes, v)); !found[0] {
			t.Fatalf("%+v, refused as %v, was not found", own, err)
		}
	})
	if planted == 0 {
		t.Fatal("nothing was planted")
	}
}

func TestWitnessKinds(t *testing.T) {
	g := equalGroup(t, 2)
	w := &contestedWorld{group: g, spends: map[domain.Hash][]utxo.Outpoint{
		tx(0): outpoints(1, 2), tx(1): outpoints(2, 3), tx(2): outpoints(4),
	}, ids: []domain.Hash{tx(0), tx(1), tx(2)}}
	for name, c := range map[string]struct {
		a, b Vote
		want notaryv1.EvidenceKind
	}{
		"two pending":              {w.vote(0, tx(0), observation.Pending, 2, 1, 0), w.vote(0, tx(1), observation.Pending, 2, 9, 0), twoPending},
		"two accepted":             {w.vote(0, tx(0), observation.Accepted, 2, 1, 0), w.vote(0, tx(1), observation.Accepted, 2, 1, 1), twoAccepted},
		"accepted after":           {w.vote(0, tx(0), observation.Pending, 2, 1, 0), w.vote(0, tx(1), observation.Accepted, 1, 1, 1), afterPending},
		"accepted before":          {w.vote(0, tx(0), observation.Pending, 2, 2, 0), w.vote(0, tx(1), observation.Accepted, 1, 1, 1), 0},
		"accepted in the round":    {w.vote(0, tx(0), observation.Pending, 2, 1, 0), w.vote(0, tx(1), observation.Accepted, 2, 2, 0), 0},
		"of two voters":            {w.vote(0, tx(0), observation.Pending, 2, 1, 0), w.vote(1, tx(1), observation.Pending, 2, 1, 0), 0},
		"on what does not compete": {w.vote(0, tx(0), observation.Pending, 2, 1, 0), w.vote(0, tx(2), observation.Pending, 2, 2, 0), 0},
		"on one transaction":       {w.vote(0, tx(0), observation.Pending, 2, 1, 0), w.vote(0, tx(0), observation.Pending, 2, 2, 0), 0},
		"abstain":                  {w.vote(0, tx(0), observation.Abstain, 2, 1, 0), w.vote(0, tx(1), observation.Pending, 2, 2, 0), 0},
	} {
		for _, votes := range [][2]Vote{{c.a, c.b}, {c.b, c.a}} {
			witness := NewWitness(8)
			for _, id := range w.ids {
				witness.Watch(id, w.spends[id])
			}
			if b := witness.Hear(&votes[0]); len(b) != 0 {
				t.Fatalf("%s: a vote alone is a breach: %+v", name, b)
			}
			b := witness.Hear(&votes[1])
			if (c.want == 0) != (len(b) == 0) {
				t.Fatalf("%s: %+v, want %v", name, b, c.want)
			}
			for _, x := range b {
				if x.Kind != c.want || x.Chain.Key != votes[1].Key() || x.Deeds[0].Tx != votes[0].Tx || x.Deeds[1].Tx != votes[1].Tx {
					t.Fatalf("%s: %+v", name, x)
				}
			}
		}
	}
}

// TestWitnessIsBounded: the oldest transaction gives way, its votes with it, and rounds beyond number are not kept.
func TestWitnessIsBounded(t *testing.T) {
	g := equalGroup(t, 2)
	w := &contestedWorld{group: g}
	witness := NewWitness(2)
	for i := range 2 {
		if gone, added := witness.Watch(tx(i), outpoints(1)); !gone.IsZero() || !added {
			t.Fatalf("%v, %v", gone, added)
		}
	}
	if _, added := witness.Watch(tx(1), outpoints(1)); added {
		t.Fatal("added twice")
	}
	first := w.vote(0, tx(0), observation.Pending, 0, 1, 0)
	witness.Hear(&first)
	if gone, added := witness.Watch(tx(2), outpoints(1)); gone != tx(0) || !added || witness.Len() != 2 {
		t.Fatalf("%v, %v, %d", gone, added, witness.Len())
	}
	second := w.vote(0, tx(2), observation.Pending, 0, 2, 0)
	if b := witness.Hear(&second); len(b) != 0 {
		t.Fatalf("the votes on what gave way stayed: %+v", b)
	}
	for r := range uint32(3 * maxWitnessedRounds) {
		v := w.vote(1, tx(1), observation.Pending, 3*maxWitnessedRounds-r, uint64(r+1), 0)
		witness.Hear(&v)
	}
	d := witness.points[outpoint(1)].chains[observation.ChainID{Key: nodeKey(1)}]
	if len(d.pending) != maxWitnessedRounds || d.pending[0].Round != 1 || d.pending[maxWitnessedRounds-1].Round != maxWitnessedRounds {
		t.Fatalf("%d rounds from %d on", len(d.pending), d.pending[0].Round)
	}
	high := w.vote(1, tx(1), observation.Pending, 1<<31, 9999, 0)
	witness.Hear(&high)
	if d.pending[maxWitnessedRounds-1].Round != maxWitnessedRounds {
		t.Fatal("a high round pushed a low one out")
	}
	for i := range 2 {
		witness.Watch(tx(100+i), outpoints(50+i))
	}
	if len(witness.points) != 2 {
		t.Fatalf("%d outpoints for two transactions", len(witness.points))
	}
}

// BenchmarkWitness is the cost of one vote among rivals of one outpoint and 20 voters.
func BenchmarkWitness(b *testing.B) {
	for _, rivals := range []int{2, 16, 1024} {
		b.Run(fmt.Sprintf("rivals=%d", rivals), func(b *testing.B) {
			parts := make([]int, 20)
			for i := range parts {
				parts[i] = 1
			}
			w := &contestedWorld{group: groupOf(b, 0, parts...)}
			witness := NewWitness(MaxWitnessed)
			for i := range rivals {
				witness.Watch(tx(i), outpoints(1))
			}
			i := 0
			for b.Loop() {
				v := w.vote(i%20, tx(i%20%rivals), observation.Pending, uint32(i/20%64), uint64(i), 0)
				witness.Hear(&v)
				i++
			}
		})
	}
}
