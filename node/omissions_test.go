package node

import (
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// carrier is an observation of a node's chain that holds a PENDING for a transaction; zero where there is none.
func (l *live) carrier(node int, tx *utxo.Tx) (hash domain.Hash) {
	l.t.Helper()
	for o, err := range l.nodes[0].store.Observations(observation.ChainID{Key: l.keys[node].Public()}, 1, 1<<62) {
		if err != nil {
			l.t.Fatal(err)
		}
		for i := range o.Len() {
			if leaf := o.Leaf(i); leaf.Subject == tx.ID && leaf.State == observation.Pending {
				return o.Hash
			}
		}
	}
	return hash
}

// lieAt is lie at a time of its own, and waits until the first node has it.
func (l *live) lieAt(timeMS uint64, leaves ...observation.Leaf) {
	l.t.Helper()
	o := l.signer.Observe(l.genesis.Group, timeMS, leaves...)
	l.publish(o)
	// A busy machine may drop gossip, of what was said before too, and nobody would ask the liar again.
	for _, o := range l.said {
		if err := l.nodes[0].sh.observe(l.t.Context(), o); err != nil {
			l.t.Fatal(err)
		}
	}
	l.eventually("the first node to have it", func() bool {
		return l.nodes[0].store.Head(observation.ChainID{Key: l.signer.Head.Key}).Height == l.signer.Head.Height
	})
}

// silent are the verified reports of the first node after it looked at some transactions.
func (l *live) silent(txs ...*utxo.Tx) (list []*observation.Omission) {
	l.t.Helper()
	if err := l.nodes[0].sh.omissions.look(l.t.Context(), txs); err != nil {
		l.t.Fatal(err)
	}
	raws, err := l.nodes[0].Omissions(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	for _, raw := range raws {
		o, err := observation.DecodeOmission(raw, l.genesis.ID)
		if err != nil {
			l.t.Fatal(err)
		}
		if err := o.Verify(); err != nil {
			l.t.Fatal(err)
		}
		list = append(list, o)
	}
	return list
}

// TestOmitterIsReported: a peer refers to votes on transactions that cannot be decided without it. It is reported
// for the one that it says nothing about once the window is over, and for none that it rejects, abstains from or votes
// against by a rival; the nodes that vote, and one that is gone, are not reported at all. A late word is enough.
func TestOmitterIsReported(t *testing.T) {
	l := startLive(t)
	l.nodes[2].stop()
	omitted, rejected, abstained, lost, rival := l.pay("a", 0), l.pay("b", 1), l.pay("c", 2), l.pay("d", 3), l.pay("e", 3)
	all := []*utxo.Tx{omitted, rejected, abstained, lost}
	for _, tx := range all {
		l.submit(0, tx)
	}
	l.eventually("votes on all", func() bool {
		return !slices.ContainsFunc(all, func(tx *utxo.Tx) bool { return l.carrier(0, tx).IsZero() }) && !l.carrier(1, omitted).IsZero()
	})
	l.submit(0, rival)
	l.eventually("a contest", func() bool {
		rivals, err := l.nodes[0].sh.rivalsOf(t.Context(), lost.ID)
		return err == nil && slices.Equal(rivals, []domain.Hash{rival.ID})
	})
	start := uint64(time.Now().UnixMilli())
	var references []observation.Leaf
	for _, tx := range all {
		references = append(references, observation.Leaf{
			Subject: l.carrier(0, tx), Type: observation.SubjectObservation, State: observation.Seen, TimeMS: start,
		})
	}
	l.lieAt(start, references...)
	l.lieAt(start + observation.OmissionWindowMS - 1)
	if list := l.silent(all...); len(list) > 0 {
		t.Fatalf("reported before the window is over: %+v", list[0].Key())
	}
	l.lieAt(start+observation.OmissionWindowMS, l.vote(rejected, observation.Rejected, 0), l.vote(abstained, observation.Abstain, 0),
		l.vote(rival, observation.Pending, 0))
	if list := l.silent(rejected, abstained, lost); len(list) > 0 {
		t.Fatalf("reported for %s, of which it spoke", list[0].Tx())
	}
	for range 2 { // a second look adds nothing
		list := l.silent(all...)
		if len(list) != 1 || list[0].Key() != (observation.ChainID{Key: l.keys[3].Public()}) || list[0].Tx() != omitted.ID {
			t.Fatalf("%d reports", len(list))
		}
	}
	l.nodes[0].sh.wireOmissions()
	l.lieAt(start+2*observation.OmissionWindowMS, l.vote(omitted, observation.Pending, 0))
	if list := l.silent(all...); len(list) > 0 {
		t.Fatalf("reported for %s although it spoke late", list[0].Tx())
	}
}

// TestOmissionsTakeTurns: each transaction comes to its turn, a few at a time, while others come and go.
func TestOmissionsTakeTurns(t *testing.T) {
	var o omissions
	var txs []*utxo.Tx
	for i := range 11 {
		txs = append(txs, &utxo.Tx{ID: domain.Hash{byte(i)}})
	}
	seen := make(map[domain.Hash]int)
	for range 11 {
		turn := o.turn(slices.Clone(txs))
		if len(turn) != omissionTxs {
			t.Fatalf("%d at once", len(turn))
		}
		for _, tx := range turn {
			seen[tx.ID]++
		}
	}
	for _, tx := range txs {
		if seen[tx.ID] != omissionTxs {
			t.Errorf("%s was looked at %d times in 11 turns", tx.ID, seen[tx.ID])
		}
	}
	if turn := o.turn(nil); len(turn) > 0 {
		t.Error("a turn of nobody")
	}
}

// TestKeptOmissions: reports are remembered up to a size and a number, the newest of them.
func TestKeptOmissions(t *testing.T) {
	n := &Node{sh: &shell{}}
	n.sh.omissions = &omissions{log: slog.New(slog.DiscardHandler)}
	report := func(i, size int) *observation.Omission {
		raw := make([]byte, size)
		raw[0] = byte(i)
		o := &observation.Observation{}
		o.Header.Key[0] = byte(i)
		return &observation.Omission{Raw: raw, Chain: []*observation.Observation{o}}
	}
	for _, c := range []struct{ size, want int }{{10, keptOmissions}, {observation.MaxOmissionBytes / 4, 4}, {observation.MaxOmissionBytes, 1}} {
		for i := range 2 * keptOmissions {
			n.sh.omissions.keep(report(i, c.size))
		}
		raws, err := n.Omissions(t.Context())
		if err != nil || len(raws) != c.want || raws[0][0] != 2*keptOmissions-1 || raws[len(raws)-1][0] != byte(2*keptOmissions-c.want) {
			t.Errorf("%d reports of %d bytes: %v", len(raws), c.size, err)
		}
	}
}
