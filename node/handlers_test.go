package node

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// TestFinalGossipedAgain: a transaction that is final here, in a batch that was not seen, ends at once and is voted on no
// more.
func TestFinalGossipedAgain(t *testing.T) {
	v := newVillage(t, nil)
	nodes := []*villager{v.start(0), v.start(1), v.start(2)}
	v.meet(nodes...)
	tx, n := v.pay(0, ""), nodes[0]
	n.submit(t, tx)
	eventually(t, "final", func() bool { return n.final(t, tx) && n.sh.flights.get(tx.ID) == nil })
	chain := observation.ChainID{Key: n.sh.self}
	before := n.sh.store.Head(chain)
	received := n.sh.metrics.received[fromGossip]
	for _, late := range []bool{true, false} {
		if !late { // as after tens of thousands of others
			for i := range byte(latelyWays) {
				n.sh.lately.add(domain.Hash{tx.ID[0], tx.ID[1], i, 1})
			}
		}
		flights := counterOf(t, received)
		if got := (handlers{n.sh}).ValidateTransactions(t.Context(), nodes[1].sh.self, [][]byte{tx.Raw}); got != gossip.Take {
			t.Fatalf("verdict %d", got)
		}
		if got := counterOf(t, received) - flights; got > 0 == late {
			t.Errorf("%v flights of one that was final lately: %v", got, late)
		}
		eventually(t, "landed", func() bool { return n.sh.flights.get(tx.ID) == nil })
	}
	if got := n.sh.store.Head(chain); got != before {
		t.Errorf("signed %d observations more", got.Height-before.Height)
	}
	status, _, err := n.Transaction(t.Context(), tx.ID)
	if err != nil || status.GetState() != notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
		t.Errorf("%s, %v", status.GetState(), err)
	}
}

// TestCopyWithOtherWitnesses: a copy of a known transaction whose witness is corrupt has its id, and is passed on no more
// than one of an unknown transaction: neighbours that do not know the transaction would blame this node for it.
func TestCopyWithOtherWitnesses(t *testing.T) {
	v := newVillage(t, nil)
	n, tx, from := v.start(0), v.pay(0, ""), v.signers[1].Key.Public()
	corrupt := bytes.Clone(tx.Raw)
	corrupt[len(corrupt)-1] ^= 1
	if copied, err := utxo.Decode(corrupt, n.sh.rules); err != nil || copied.ID != tx.ID {
		t.Fatalf("no copy of the transaction: %v", err)
	}
	validate := func(raws ...[]byte) gossip.Verdict {
		return (handlers{n.sh}).ValidateTransactions(t.Context(), from, raws)
	}
	check := func(when string) {
		t.Helper()
		if got := validate(corrupt); got != gossip.Reject {
			t.Errorf("%s, alone: verdict %d", when, got)
		}
		if got := validate(tx.Raw, corrupt); got != gossip.Reject {
			t.Errorf("%s, beside the genuine one: verdict %d", when, got)
		}
		if got := validate(tx.Raw); got != gossip.Take {
			t.Errorf("%s, the genuine one: verdict %d", when, got)
		}
	}
	check("unknown")
	check("on its way")
	n.sh.lately.add(tx.ID)
	check("final lately")
}

// TestOwnObservationForged: an observation of this node's own that comes back with another signature is passed on to nobody.
func TestOwnObservationForged(t *testing.T) {
	v := newVillage(t, nil)
	n, from := v.start(0), v.signers[1].Key.Public()
	n.submit(t, v.pay(0, ""))
	own := n.first(t)
	forged := *own
	forged.Raw = bytes.Replace(own.Raw, own.Signature[:], bytes.Repeat([]byte{7}, len(own.Signature)), 1)
	for _, c := range []struct {
		o    *observation.Observation
		want gossip.Verdict
	}{{&forged, gossip.Reject}, {own, gossip.Take}} {
		raw := observation.EncodeRuns([]*observation.Observation{c.o})[0]
		if got := (handlers{n.sh}).ValidateObservation(t.Context(), from, raw); got != c.want {
			t.Errorf("verdict %d, want %d", got, c.want)
		}
	}
}

// TestStrangersRunsAreNotHashed: a run by a key without weight is not looked at beyond its header; one of a member is.
func TestStrangersRunsAreNotHashed(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	stranger := &kit.Signer{Key: kit.Key(77), Head: observation.Head{Key: kit.Key(77).Public()}}
	for signer, want := range map[*kit.Signer]gossip.Verdict{stranger: gossip.Ignore, v.signers[1]: gossip.Reject} {
		o := *signer.Observe(v.genesis.Group, kit.StartMS, observation.Leaf{Subject: domain.Hash{1}, Type: observation.SubjectTx, State: observation.Pending})
		o.Raw = bytes.Replace(o.Raw, o.Header.Root[:], bytes.Repeat([]byte{7}, domain.Size), 1)
		raw := observation.EncodeRuns([]*observation.Observation{&o})[0]
		if got := (handlers{n.sh}).ValidateObservation(t.Context(), v.signers[2].Key.Public(), raw); got != want {
			t.Errorf("leaves that do not match their root: verdict %d, want %d", got, want)
		}
	}
}

// TestNoRoomCostsNothing: what a neighbour brings beyond its room is not verified, and held against nobody.
func TestNoRoomCostsNothing(t *testing.T) {
	v := newVillage(t, func(c *Config) { c.MaxInFlight = 16 })
	n, from := v.start(0), v.signers[1].Key.Public()
	origin := Origin{fromGossip, from.String(), from}
	for n.sh.admission.full(origin) == nil {
		if err := n.sh.admission.admit(t.Context(), origin, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := counterOf(t, n.sh.metrics.signatures)
	if got := (handlers{n.sh}).ValidateTransactions(t.Context(), from, [][]byte{v.pay(0, "").Raw}); got != gossip.Ignore {
		t.Errorf("verdict %d", got)
	}
	if got := counterOf(t, n.sh.metrics.signatures) - before; got != 0 {
		t.Errorf("%v signatures verified for nothing", got)
	}
}

// metadata makes transactions with the first version of a peer's metadata, of so many keys with proofs of possession.
func (v *village) metadata(t *testing.T, keys int) func(salt int) *utxo.Tx {
	t.Helper()
	master := kit.Key(200)
	meta := group.Peer{ID: group.PeerID(master.Public()), Master: master.Public(), Version: 1}
	meta.Nonce = group.FindWork(v.genesis.ID, meta.Master, utxo.RulesOf(v.genesis).WorkBits)
	for i := range keys {
		meta.Keys = append(meta.Keys, group.Certify(kit.Key(300+i), 1, v.genesis.ID, meta.ID).WithBLS(kit.Key(300+i)))
	}
	slices.SortFunc(meta.Keys, func(a, b group.CertifiedKey) int { return a.Key.Compare(b.Key) })
	output, err := utxo.PeerOutput(&meta)
	if err != nil {
		t.Fatal(err)
	}
	return func(salt int) *utxo.Tx {
		t.Helper()
		d, err := utxo.NewBuilder(v.genesis.ID).Spend(utxo.Origin(meta.ID)).Output(output).Salt([]byte{byte(salt)}).Build()
		if err != nil {
			t.Fatal(err)
		}
		tx, err := d.Sign(master).Finish()
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
}

// TestPossessionsKeepNobodyWaiting: metadata whose proofs of possession have to wait for their turn does not hold the
// signatures of others up.
func TestPossessionsKeepNobodyWaiting(t *testing.T) {
	v := newVillage(t, nil)
	n, costly := v.start(0), v.metadata(t, 1)(0)
	for range cap(n.sh.possessing) {
		n.sh.possessing <- struct{}{}
	}
	done := make(chan error, 1)
	go func() {
		_, err := n.Submit(t.Context(), "test", costly.Raw, notaryv1.WaitLevel_WAIT_LEVEL_PENDING)
		done <- err
	}()
	eventually(t, "the metadata on its way", func() bool { return n.sh.flights.get(costly.ID) != nil })
	n.submit(t, v.pay(0, ""))
	select {
	case err := <-done:
		t.Fatalf("metadata overtook its turn: %v", err)
	default:
	}
	for range cap(n.sh.possessing) {
		<-n.sh.possessing
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestPossessionsAreRationed: metadata costs a millisecond or more for each of its keys, and is valid however often it comes. Of
// one neighbour only so much of it is looked at, what comes with it is taken in, and others have their own share.
func TestPossessionsAreRationed(t *testing.T) {
	const keys = 32
	v := newVillage(t, nil)
	n, costly := v.start(0), v.metadata(t, keys)
	n.sh.possessions = newTurnstile(possessionBurst, time.Hour) // to verify so many may take longer than their window
	affordable := possessionBurst / keys
	validate := func(from int, txs ...*utxo.Tx) gossip.Verdict {
		var raws [][]byte
		for _, tx := range txs {
			raws = append(raws, tx.Raw)
		}
		return (handlers{n.sh}).ValidateTransactions(t.Context(), v.signers[from].Key.Public(), raws)
	}
	for i := range affordable {
		if got := validate(1, costly(i)); got != gossip.Take {
			t.Fatalf("message %d: verdict %d", i, got)
		}
	}
	payment, beyond := v.pay(0, ""), costly(affordable)
	if got := validate(1, beyond, payment); got != gossip.Ignore {
		t.Errorf("beyond what one neighbour may ask for: verdict %d", got)
	}
	if n.sh.flights.get(beyond.ID) != nil || n.sh.flights.get(payment.ID) == nil {
		t.Error("metadata beyond it was taken in, or the payment beside it was not")
	}
	if got := validate(2, beyond); got != gossip.Take {
		t.Errorf("another neighbour: verdict %d", got)
	}
}

// TestRunOfObservations: what a member signed at once is taken in whole, or refused whole: a message with one bad signature, or
// with a gap, leaves nothing here and is held against its sender.
func TestRunOfObservations(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	signer := v.signers[1]
	var row []*observation.Observation
	for range 3 {
		row = append(row, signer.Observe(v.genesis.Group, kit.StartMS))
	}
	forged := *row[1]
	forged.Raw = append([]byte(nil), row[1].Raw...)
	forged.Raw[len(forged.Raw)-1] ^= 1
	message := func(list ...*observation.Observation) []byte {
		runs := observation.EncodeRuns(list)
		if len(runs) != 1 {
			t.Fatalf("%d messages", len(runs))
		}
		return runs[0]
	}
	chain := observation.ChainID{Key: signer.Key.Public()}
	for name, raw := range map[string][]byte{
		"a bad signature": message(row[0], &forged, row[2]), "a gap": message(row[0], row[2]), "no run": row[0].Raw,
	} {
		if got := (handlers{n.sh}).ValidateObservation(t.Context(), signer.Key.Public(), raw); got != gossip.Reject {
			t.Errorf("%s: verdict %d", name, got)
		}
	}
	if head := n.sh.store.Head(chain); head.Height != 0 {
		t.Errorf("%d observations are here of messages that were refused", head.Height)
	}
	if got := (handlers{n.sh}).ValidateObservation(t.Context(), signer.Key.Public(), message(row...)); got != gossip.Take {
		t.Errorf("verdict %d", got)
	}
	eventually(t, "all to be here", func() bool { return n.sh.store.Head(chain) == row[2].Head() })
}
