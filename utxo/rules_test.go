package utxo

import (
	"errors"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// judge is all that a node does with a transaction before it votes.
func judge(raw []byte, v View, m Moment) (*Tx, Delta, error) {
	tx, err := Decode(raw, testRules)
	if err != nil {
		return nil, Delta{}, err
	}
	d, err := ValidateSigned(tx, v, m)
	return tx, d, err
}

func TestRefusals(t *testing.T) {
	s := world(t)
	before := world(t)
	seen := make(map[notaryv1.Reason]bool)
	for _, c := range refusedTransactions(t) {
		_, d, err := judge(c.raw, s, today)
		var e *refusal.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Field != c.field {
			t.Errorf("%s: %v, want %s at %q", c.name, err, refusal.Name(c.reason), c.field)
		}
		if len(d.Spent)+len(d.Created) != 0 {
			t.Errorf("%s: refused with a delta", c.name)
		}
		seen[c.reason] = true
	}
	if !s.Equal(before) {
		t.Error("a refusal changed the set")
	}
	// Fee policy and rivals are the node's, not a transaction's.
	for r := notaryv1.Reason_REASON_TOO_LARGE; r <= notaryv1.Reason_REASON_RESERVED_OUTPUT; r++ {
		if notaryv1.Reason_name[int32(r)] != "" && !seen[r] {
			t.Errorf("nothing is refused as %s", refusal.Name(r))
		}
	}
}

func TestNotYet(t *testing.T) {
	s := world(t)
	for _, c := range refusedTransactions(t) {
		_, _, err := judge(c.raw, s, today)
		want := c.reason == notaryv1.Reason_REASON_UNKNOWN_OUTPOINT || c.reason == notaryv1.Reason_REASON_WINDOW_NOT_OPEN ||
			c.reason == notaryv1.Reason_REASON_LOCK_NOT_OPEN
		if NotYet(err) != want {
			t.Errorf("%s: NotYet %v", c.name, !want)
		}
	}
	if NotYet(nil) || NotYet(errors.New("x")) {
		t.Error("no refusal is not yet")
	}
}

// TestHopelessIsNotHeld: what is wrong for ever wins over what may pass.
func TestHopelessIsNotHeld(t *testing.T) {
	s := world(t)
	to := bobLock.Address()
	for name, c := range map[string]struct {
		builder *Builder
		reason  notaryv1.Reason
	}{
		"unbalanced in a window to come":   {start(atAlice).Pay(to, Product{}, 1).Window(now+1, 0), notaryv1.Reason_REASON_UNBALANCED},
		"unbalanced behind a time lock":    {start(atLater).Pay(to, Product{}, 1), notaryv1.Reason_REASON_UNBALANCED},
		"unknown and its window closed":    {start(worldSize).Pay(to, Product{}, 1).Window(1, 2), notaryv1.Reason_REASON_WINDOW_CLOSED},
		"unknown beside a reward":          {start(worldSize).Spend(at(atReward)).Pay(to, Product{}, 1), notaryv1.Reason_REASON_RESERVED_OUTPUT},
		"shut and without its own witness": {start(atLater).Spend(at(atBob)).Pay(to, Product{}, 70*coin), notaryv1.Reason_REASON_MISSING_WITNESS},
	} {
		_, _, err := judge(mustDraft(t, c.builder).Sign(alice).Raw(), s, today)
		if refusal.ReasonOf(err) != c.reason {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRulesNarrowTheSize(t *testing.T) {
	raw := mustDraft(t, transfer()).Sign(alice).Raw()
	if _, err := Decode(raw, Rules{Network: testNetwork, MaxBytes: len(raw)}); err != nil {
		t.Error(err)
	}
	_, err := Decode(raw, Rules{Network: testNetwork, MaxBytes: len(raw) - 1})
	if !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_TOO_LARGE)) {
		t.Error(err)
	}
	// Links have room all the same, if they are links indeed.
	link := mustFinish(t, mustDraft(t, NewLink(at(atLink), nil, epoch1(t), testRules.EpochMS)).Sign(carol)).Raw
	narrow := testRules
	narrow.MaxBytes = len(link) - 1
	if tx, err := Decode(link, narrow); err != nil || tx.Link == nil {
		t.Errorf("a link: %v", err)
	}
	if _, err := Decode(link[:len(link)-1], narrow); err == nil {
		t.Error("half a link")
	}
	narrow.EpochMS++
	if _, err := Decode(link, narrow); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_TOO_LARGE)) {
		t.Errorf("a link of another network: %v", err)
	}
}

// TestTheLargestTransaction: all limits used up together still decode.
func TestTheLargestTransaction(t *testing.T) {
	b := NewBuilder(testNetwork).Memo(make([]byte, 256)).Salt(make([]byte, 32))
	for i := range uint32(MaxInputs) {
		b.Spend(at(i))
	}
	for range MaxOutputs - 1 {
		b.Pay(aliceLock.Address(), Product{}, 1)
	}
	b.Store(aliceLock.Address(), Data{Kind: notaryv1.DataKind_DATA_KIND_INLINE, Payload: make([]byte, MaxPayloadBytes)})
	d := mustDraft(t, b)
	for i := range 50 {
		d.Sign(keyOf(byte(10 + i)))
	}
	tx := mustFinish(t, d)
	if len(tx.Checks()) != 50 || len(tx.Outputs) != MaxOutputs || len(tx.Spends()) != MaxInputs {
		t.Errorf("%d checks, %d outputs, %d spends", len(tx.Checks()), len(tx.Outputs), len(tx.Spends()))
	}
}

// TestWindow walks over both ends of a window.
func TestWindow(t *testing.T) {
	s := world(t)
	tx := mustFinish(t, mustDraft(t, transfer().Window(100, 200)).Sign(alice))
	for nowMS, want := range map[uint64]notaryv1.Reason{
		0: notaryv1.Reason_REASON_WINDOW_NOT_OPEN, 99: notaryv1.Reason_REASON_WINDOW_NOT_OPEN,
		100: 0, 200: 0, 201: notaryv1.Reason_REASON_WINDOW_CLOSED, 1<<64 - 1: notaryv1.Reason_REASON_WINDOW_CLOSED,
	} {
		if _, err := Validate(tx, s, Moment{NowMS: nowMS}); refusal.ReasonOf(err) != want {
			t.Errorf("at %d: %v", nowMS, err)
		}
		if _, err := Validate(tx, s, Moment{NowMS: nowMS, IgnoreWindow: true}); err != nil {
			t.Errorf("at %d, window ignored: %v", nowMS, err)
		}
	}
	// The clock may go back to before its inputs became final.
	open := mustFinish(t, mustDraft(t, transfer()).Sign(alice))
	for _, nowMS := range []uint64{0, 1<<64 - 1} {
		if _, err := Validate(open, s, Moment{NowMS: nowMS}); err != nil {
			t.Errorf("unbounded window at %d: %v", nowMS, err)
		}
	}
}

// TestTimeLocks walks over the instants at which locks open, up to the end of time.
func TestTimeLocks(t *testing.T) {
	const final = 1000
	for _, c := range []struct {
		name              string
		notBefore, minAge uint64
		opens             uint64
	}{
		{"not before", 5000, 0, 5000},
		{"age", 0, 300, 1300},
		{"age the later", 1200, 300, 1300},
		{"not before the later", 1400, 300, 1400},
		{"age beyond time", 0, 1<<64 - 1, 1<<64 - 1},
		{"age to the end of time", 0, 1<<64 - 1 - final, 1<<64 - 1},
		{"for ever", 1<<64 - 1, 0, 1<<64 - 1},
	} {
		var s Set
		o := Output{Kind: payment, Address: aliceLock.Address(), Amount: 5, NotBeforeMS: c.notBefore, MinAgeMS: c.minAge}
		mustApply(t, &s, Delta{Tx: parent, Created: []Created{{at(0), o}}}, final)
		tx := mustFinish(t, mustDraft(t, start(0).Pay(aliceLock.Address(), Product{}, 5)).Sign(alice))
		if got := OpensMS(tx, &s); got != c.opens {
			t.Errorf("%s: opens at %d, want %d", c.name, got, c.opens)
		}
		verdict := func(nowMS uint64) notaryv1.Reason {
			_, err := Validate(tx, &s, Moment{NowMS: nowMS, IgnoreWindow: true})
			return refusal.ReasonOf(err)
		}
		if got := verdict(c.opens - 1); got != notaryv1.Reason_REASON_LOCK_NOT_OPEN {
			t.Errorf("%s: before it opens: %v", c.name, got)
		}
		want := notaryv1.Reason_REASON_UNSPECIFIED
		if c.opens == 1<<64-1 {
			want = notaryv1.Reason_REASON_LOCK_NOT_OPEN
		}
		if got := verdict(c.opens); got != want {
			t.Errorf("%s: when it opens: %v", c.name, got)
		}
	}
}

// TestOpensWithTheWindow: what waits for a window and a lock waits for the later.
func TestOpensWithTheWindow(t *testing.T) {
	s := world(t)
	b := func() *Builder { return start(atLater).Read(at(atYoung)).Pay(bobLock.Address(), Product{}, 20*coin) }
	for from, want := range map[uint64]uint64{0: now + day, now: now + day, now + 2*day: now + 2*day} {
		if got := OpensMS(mustDraft(t, b().Window(from, 0)).Tx(), s); got != want {
			t.Errorf("from %d: %d, want %d", from, got, want)
		}
	}
}

// TestReadsNeedNoWitness, also of what is spent, locked or reserved.
func TestReadsNeedNoWitness(t *testing.T) {
	b := transfer()
	for _, i := range []uint32{atBob, atSpent, atLater, atYoung, atReward, atLink, atPeer, atRich, atGold} {
		b.Read(at(i))
	}
	tx, d, err := judge(mustDraft(t, b).Sign(alice).Raw(), world(t), today)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Spent) != 1 || len(tx.Reads()) != 9 || tx.Reads()[0] != at(atBob) {
		t.Errorf("%d spent, reads %v", len(d.Spent), tx.Reads())
	}
}

// TestOneWitnessServesOwnerAndCounterparty: bob's witness opens his own input and agrees to alice's.
func TestOneWitnessServesOwnerAndCounterparty(t *testing.T) {
	b := start(atBoth).Spend(at(atBob)).Pay(bobLock.Address(), Product{}, 90*coin)
	if _, _, err := judge(mustDraft(t, b).Sign(bob, alice).Raw(), world(t), today); err != nil {
		t.Error(err)
	}
}

// TestSignaturesCoverNetwork: a signature made for another network does not serve here.
func TestSignaturesCoverNetwork(t *testing.T) {
	d := mustDraft(t, transfer())
	s := domain.Sign(alice, domain.TagTx, domain.Hash(bytes32(1)), d.ID())
	d.AddWitness(Witness{Lock: aliceLock, Signatures: []LockSignature{{Signature: s}}})
	if _, err := d.Finish(); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_BAD_SIGNATURE)) {
		t.Error(err)
	}
}

// TestCheckField names the signature at fault across witnesses.
func TestCheckField(t *testing.T) {
	d := mustDraft(t, start(atBob).Spend(at(atShared)).Pay(bobLock.Address(), Product{}, 120*coin)).Sign(bob)
	if err := d.SignLock(sharedLock, nil, alice, bob, carol); err != nil {
		t.Fatal(err)
	}
	tx := mustFinish(t, d)
	for k, want := range []string{"witnesses[0].signatures[0]", "witnesses[1].signatures[0]", "witnesses[1].signatures[1]", "witnesses"} {
		if got := tx.CheckField(k); got != want {
			t.Errorf("%d: %s, want %s", k, got, want)
		}
	}
	if err := BadSignature(tx, 2); refusal.ReasonOf(err) != notaryv1.Reason_REASON_BAD_SIGNATURE {
		t.Error(err)
	}
}
