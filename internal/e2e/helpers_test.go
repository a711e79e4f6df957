package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/internal/refverify"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Short names for what the tests are full of.
const (
	waitNone     = notaryv1.WaitLevel_WAIT_LEVEL_NONE
	waitPending  = notaryv1.WaitLevel_WAIT_LEVEL_PENDING
	waitAccepted = notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED
	waitFinal    = notaryv1.WaitLevel_WAIT_LEVEL_FINAL

	stateHeld     = notaryv1.TransactionState_TRANSACTION_STATE_HELD
	statePending  = notaryv1.TransactionState_TRANSACTION_STATE_PENDING
	stateFinal    = notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	stateRejected = notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
)

// unpaid lets everything be done for nothing.
func unpaid(int) error { return nil }

func protoOutput(t testing.TB, o *utxo.Output) *notaryv1.Output {
	t.Helper()
	p := new(notaryv1.Output)
	if err := proto.Unmarshal(o.AppendTo(nil), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// spend starts a transaction that spends outpoints.
func (n *network) spend(points ...utxo.Outpoint) *utxo.Builder {
	b := utxo.NewBuilder(n.genesis.ID)
	for _, o := range points {
		b.Spend(o)
	}
	return b
}

// pay is alice's payment of all that her genesis outputs hold. Salt tells rivals apart.
func (n *network) pay(to domain.PrivateKey, salt int, coins ...int) *utxo.Tx {
	n.t.Helper()
	var points []utxo.Outpoint
	for _, i := range coins {
		points = append(points, n.coin(i))
	}
	b := n.spend(points...).Pay(addressOf(to), utxo.Product{}, coinValue*uint64(len(coins)))
	return n.sign(b.Salt(fmt.Appendf(nil, "%d", salt)), alice)
}

// sign finishes a transaction.
func (n *network) sign(b *utxo.Builder, keys ...domain.PrivateKey) *utxo.Tx {
	n.t.Helper()
	d, err := b.Build()
	if err != nil {
		n.t.Fatal(err)
	}
	tx, err := d.Sign(keys...).Finish()
	if err != nil {
		n.t.Fatal(err)
	}
	return tx
}

// submit sends a transaction and waits for a level.
func (v *notary) submit(t testing.TB, raw []byte, level notaryv1.WaitLevel) (*notaryv1.TransactionStatus, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, err := v.running.SubmitTransaction(ctx, &notaryv1.SubmitTransactionRequest{Transaction: raw, WaitFor: level})
	return r.GetStatus(), err
}

// mustSubmit is submit where nothing may go wrong.
func (v *notary) mustSubmit(t testing.TB, tx *utxo.Tx, level notaryv1.WaitLevel) *notaryv1.TransactionStatus {
	t.Helper()
	s, err := v.submit(t, tx.Raw, level)
	if err != nil {
		t.Fatalf("node %d: submitting %s: %v", v.index, tx.ID, err)
	}
	return s
}

// status is what a node knows of a transaction; nil where it never heard of it.
func (v *notary) status(t testing.TB, id domain.Hash) *notaryv1.TransactionStatus {
	t.Helper()
	r, err := v.running.GetTransaction(t.Context(), &notaryv1.GetTransactionRequest{TransactionId: id[:]})
	if reasonOf(err) == notaryv1.Reason_REASON_NOT_FOUND {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return r.Status
}

func (v *notary) final(t testing.TB, id domain.Hash) bool {
	t.Helper()
	final, err := v.running.store.IsFinal(id)
	if err != nil {
		t.Fatal(err)
	}
	return final
}

// saysFinal reports whether a node calls a transaction final to whoever asks, which it does a moment after its store holds it so.
func (v *notary) saysFinal(t testing.TB, id domain.Hash) bool {
	t.Helper()
	if !v.final(t, id) {
		return false
	}
	s, _, err := v.running.node.Transaction(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return s.GetState() == stateFinal
}

// allFinal waits until every running node holds transactions final, and says so.
func (n *network) allFinal(t testing.TB, txs ...*utxo.Tx) {
	t.Helper()
	for _, v := range n.up() {
		for _, tx := range txs {
			eventually(t, fmt.Sprintf("%s to be final on node %d", tx.ID, v.index), func() bool { return v.saysFinal(t, tx.ID) })
		}
	}
}

// proof is the acceptance proof that a node hands out.
func (v *notary) proof(t testing.TB, id domain.Hash) []byte {
	t.Helper()
	r, err := v.running.GetAcceptanceProof(t.Context(), &notaryv1.GetAcceptanceProofRequest{TransactionId: id[:]})
	if err != nil {
		t.Fatalf("node %d: proof of %s: %v", v.index, id, err)
	}
	return r.Proof
}

// verify holds a proof against both verifiers.
func (n *network) verify(t testing.TB, raw []byte, id domain.Hash) {
	t.Helper()
	p, err := observation.DecodeProof(raw, observation.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	v, err := p.Verify(observation.NewRoot(n.genesis.Group))
	if err != nil || v.Conclusion != observation.Valid {
		t.Fatalf("proof of %s: %v, %v", id, v.Conclusion, err)
	}
	if len(v.Transactions) != 1 || v.Transactions[0].ID != id || !v.Transactions[0].Included {
		t.Fatalf("proof of %s speaks of %+v", id, v.Transactions)
	}
	ref, err := refverify.Verify(n.genesis.Bytes, p.EncodeFile())
	if err != nil || ref.Conclusion != refverify.Valid {
		t.Fatalf("second verifier on %s: %+v, %v", id, ref, err)
	}
}

// finals are the ids of what is final on a node, in its order.
func (v *notary) finals(t testing.TB) []domain.Hash {
	t.Helper()
	log, err := v.running.store.FinalLog(1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]domain.Hash, len(log))
	for i, e := range log {
		out[i] = e.Tx
	}
	return out
}

// ledger applies what a node holds final to the genesis outputs by the rules alone, and holds the node's store against the
// result. It returns the live outputs and what is final; false where something became final meanwhile.
func (v *notary) ledger(t testing.TB) (live []utxo.Outpoint, finals []domain.Hash, still bool) {
	t.Helper()
	st := v.running.store
	eventually(t, "the log of finals to be on disk", func() bool { return st.LastSeq() == st.Counts().Finals })
	genesis, err := utxo.GenesisDelta(v.net.genesis)
	if err != nil {
		t.Fatal(err)
	}
	set := new(utxo.Set)
	if err := set.Apply(genesis, v.net.genesis.Doc.TimeMs); err != nil {
		t.Fatal(err)
	}
	finals = v.finals(t)
	for _, id := range finals {
		stored, found, err := st.Transaction(id)
		if err != nil || !found || stored.Final == nil {
			t.Fatalf("node %d: %s in the log of finals: %v, %v", v.index, id, found, err)
		}
		tx, err := utxo.Decode(stored.Raw, utxo.Rules{Network: v.net.genesis.ID})
		if err != nil {
			t.Fatal(err)
		}
		delta, err := utxo.ValidateSigned(tx, set, utxo.Moment{NowMS: 1 << 62, IgnoreWindow: true})
		if err != nil {
			t.Fatalf("node %d: %s is final and breaks a rule: %v", v.index, id, err)
		}
		if err := set.Apply(delta, stored.Final.FinalMS); err != nil {
			t.Fatal(err)
		}
	}
	live = set.Live()
	wrong := ""
	for _, o := range live {
		if e, found, err := st.Lookup(o); err != nil || !found || !e.SpentBy.IsZero() {
			wrong = fmt.Sprintf("%s should be live: %+v, %v, %v", o, e, found, err)
		}
	}
	counts := st.Counts()
	if counts.Finals != uint64(len(finals)) {
		return nil, nil, false
	}
	if counts.LiveOutputs != uint64(len(live)) {
		wrong = fmt.Sprintf("counts %+v, want %d live outputs", counts, len(live))
	}
	if wrong != "" {
		t.Fatalf("node %d: %s", v.index, wrong)
	}
	return live, sortedIDs(finals), true
}

// holds reports whether a node that began from a snapshot has as much final as another, and then holds its live outputs
// against those of the other: the transactions of before are not here, so nothing can be applied anew.
func (v *notary) holds(t testing.TB, other *notary, live []utxo.Outpoint, finals []domain.Hash) bool {
	t.Helper()
	st := v.running.store
	counts := st.Counts()
	if st.LastSeq() != counts.Finals || !slices.Equal(sortedIDs(v.finals(t)), finals) {
		return false
	}
	wrong := ""
	if counts.LiveOutputs != uint64(len(live)) {
		wrong = fmt.Sprintf("counts %+v, want %d live outputs", counts, len(live))
	}
	for _, o := range live {
		got, found, err := st.Lookup(o)
		want, _, err2 := other.running.store.Lookup(o)
		if err = errors.Join(err, err2); err != nil || !found || !got.SpentBy.IsZero() || !got.Output.Equal(&want.Output) {
			wrong = fmt.Sprintf("%s should be live: %+v, %v, %v", o, got, found, err)
		}
	}
	if st.Counts().Finals != counts.Finals {
		return false
	}
	if wrong != "" {
		t.Fatalf("node %d: %s", v.index, wrong)
	}
	return true
}

// equalLedgers holds the ledgers of all running nodes against the rules and each other, at a moment at which all have as
// much final: links may follow each other meanwhile.
func (n *network) equalLedgers(t testing.TB) {
	t.Helper()
	eventually(t, "all nodes to have the same final", func() bool {
		var want []utxo.Outpoint
		var all []domain.Hash
		for i, v := range n.up() {
			if v.running.store.Began() != nil {
				if !v.holds(t, n.up()[0], want, all) {
					return false
				}
				continue
			}
			live, finals, still := v.ledger(t)
			switch {
			case !still, i > 0 && !slices.Equal(finals, all):
				return false
			case i > 0 && !slices.Equal(live, want):
				t.Fatalf("nodes %d and %d have the same final and different live outputs", v.index, n.up()[0].index)
			}
			want, all = live, finals
		}
		return true
	})
}

func sortedIDs(ids []domain.Hash) []domain.Hash {
	return slices.SortedFunc(slices.Values(ids), domain.Hash.Compare)
}

// reasonOf is the reason that an error of the API carries; UNSPECIFIED for none.
func reasonOf(err error) notaryv1.Reason {
	info := detail[*errdetails.ErrorInfo](err)
	if info == nil {
		return notaryv1.Reason_REASON_UNSPECIFIED
	}
	return notaryv1.Reason(notaryv1.Reason_value["REASON_"+info.Reason])
}

// detail is the first detail of a type in a status, or its zero value.
func detail[T any](err error) (zero T) {
	s, ok := status.FromError(err)
	if err == nil || !ok {
		return zero
	}
	for _, d := range s.Details() {
		if found, ok := d.(T); ok {
			return found
		}
	}
	return zero
}

// wantReason fails unless an error of the API has a reason.
func wantReason(t testing.TB, err error, want notaryv1.Reason) {
	t.Helper()
	if got := reasonOf(err); err == nil || got != want {
		t.Fatalf("%v (%v), want %v", err, got, want)
	}
}

func nowMS() uint64 { return uint64(time.Now().UnixMilli()) }

func sha(b []byte) domain.Hash { return sha256.Sum256(b) }

func text(n *network, a utxo.Address) string {
	return utxo.FormatAddress(n.genesis.Doc.AddressPrefix, a)
}

func hash(t testing.TB, b []byte) domain.Hash {
	t.Helper()
	h, err := domain.HashFrom(bytes.Clone(b))
	if err != nil {
		t.Fatal(err)
	}
	return h
}
