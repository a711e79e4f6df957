package store

import (
	"errors"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func rejected(ids ...domain.Hash) (list []Rejected) {
	for _, id := range ids {
		list = append(list, Rejected{Rejection: Rejection{Tx: id, Reason: notaryv1.Reason_REASON_DOUBLE_SPEND}})
	}
	return list
}

// standing is what the store says of a transaction, in a word.
func standing(t *testing.T, s *Store, id domain.Hash) string {
	t.Helper()
	tx, ok, err := s.Transaction(id)
	switch {
	case err != nil:
		t.Fatal(err)
	case !ok && tx.Raw != nil:
		return "bytes of nothing"
	case !ok:
		return "unknown"
	case tx.Final != nil && tx.Raw != nil:
		return "final"
	case tx.Rejection != nil && tx.Pending:
		return "rejected and pending"
	case tx.Rejection != nil:
		return "rejected"
	case tx.Pending:
		return "pending"
	}
	return "broken"
}

// Only so many rejections are remembered, the newest; what goes takes its bytes along, unless it is
// final or pending again.
func TestRejectionsAreBounded(t *testing.T) {
	s := openTest(t, func(o *Options) { o.MaxRejected = 2 })
	var txs []*utxo.Tx
	var ids []domain.Hash
	for i := range 6 {
		tx := makeTx(t, uint64(i), []utxo.Outpoint{genesisOutpoint(i)}, payment(owners[0], 1))
		txs, ids = append(txs, tx), append(ids, tx.ID)
	}
	vote(t, s, observation.Pending, 0, txs[0], txs[1], txs[2])
	check := func(when string, want ...string) {
		t.Helper()
		remembered := uint64(0)
		for i, w := range want {
			if got := standing(t, s, ids[i]); got != w {
				t.Errorf("%s: transaction %d is %s, want %s", when, i, got, w)
			}
			if w == "rejected" || w == "rejected and pending" {
				remembered++
			}
		}
		if n := s.Counts().Rejected; n != remembered {
			t.Errorf("%s: %d are counted, want %d", when, n, remembered)
		}
	}
	reject := func(ids ...domain.Hash) {
		t.Helper()
		if err := s.Reject(rejected(ids...)); err != nil {
			t.Fatal(err)
		}
	}
	reject(ids[0], ids[1])
	check("two", "rejected", "rejected", "pending")
	reject(ids[0], ids[0])
	check("again", "rejected", "rejected", "pending")
	reject(ids[2])
	check("a third", "unknown", "rejected", "rejected")
	vote(t, s, observation.Accepted, 0, txs[1])
	check("voted on again", "unknown", "rejected and pending", "rejected")
	// One that is pushed out and rejected anew in one batch is the newest.
	reject(ids[3], ids[2])
	check("pushed out while pending", "unknown", "pending", "rejected", "rejected")
	reject(ids[4], ids[2])
	check("renewed", "unknown", "pending", "rejected", "unknown", "rejected")

	// The oldest becomes final in the batch that pushes out others: it must not be taken for pushed out.
	f := finalOf(txs[4], now)
	f.Rivals = rejected(ids[0], ids[1], ids[3], ids[5])
	if err := s.CommitFinal([]Final{f}); err != nil {
		t.Fatal(err)
	}
	check("final", "unknown", "unknown", "unknown", "rejected", "final", "rejected")
	if err := s.Reject(rejected(ids[4])); !errors.Is(err, ErrInconsistent) {
		t.Errorf("rejecting what is final: %v", err)
	}
	check("after", "unknown", "unknown", "unknown", "rejected", "final", "rejected")
}

// A final whose rejection stands at the front of the queue keeps its bytes and is counted once.
func TestFinalAtTheFrontOfTheRejected(t *testing.T) {
	s := openTest(t, func(o *Options) { o.MaxRejected = 1 })
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1))
	y, z := domain.Hash{1}, domain.Hash{2}
	if err := s.Reject(rejected(tx.ID)); err != nil {
		t.Fatal(err)
	}
	f := finalOf(tx, now)
	f.Rivals = rejected(y, z)
	if err := s.CommitFinal([]Final{f}); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[domain.Hash]string{tx.ID: "final", y: "unknown", z: "rejected"} {
		if got := standing(t, s, id); got != want {
			t.Errorf("%s is %s, want %s", id, got, want)
		}
	}
	if n := s.Counts().Rejected; n != 1 {
		t.Errorf("%d rejections are counted", n)
	}
}

// A rejection that is made, pushed out and made again within one batch is remembered: it is the newest.
func TestRejectedTwiceInABatch(t *testing.T) {
	s := openTest(t, func(o *Options) { o.MaxRejected = 2 })
	a, b, c := domain.Hash{1}, domain.Hash{2}, domain.Hash{3}
	if err := s.Reject(rejected(a, b, c, a)); err != nil {
		t.Fatal(err)
	}
	for id, want := range map[domain.Hash]string{a: "rejected", b: "unknown", c: "rejected"} {
		if got := standing(t, s, id); got != want {
			t.Errorf("transaction %x is %s, want %s", id[0], got, want)
		}
	}
}
