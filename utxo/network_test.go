package utxo

import (
	"errors"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestOneChainAPeer: two first versions are a double spend, and so are two versions of any other number.
// Each version is all there is to spend for the next.
func TestOneChainAPeer(t *testing.T) {
	s := world(t)
	build := func(b *Builder, p *group.Peer) *Tx {
		return mustFinish(t, mustDraft(t, b.Output(mustPeer(t, p))).Sign(carol))
	}
	fresh := func() *Builder { return NewBuilder(testNetwork).Spend(Origin(group.PeerID(carol.Public()))) }
	one, other := build(fresh(), metadata(t, carol, 1)), build(fresh().Salt([]byte{1}), metadata(t, carol, 1))
	if one.Spends()[0] != other.Spends()[0] {
		t.Fatal("two first versions are no double spend")
	}
	before := clone(s)
	d, err := ValidateSigned(one, s, today)
	if err != nil {
		t.Fatal(err)
	}
	if !d.Spent[0].Origin() {
		t.Error("not from the origin")
	}
	mustApply(t, s, d, now)
	if err := s.Apply(d, now); !errors.Is(err, ErrDelta) {
		t.Errorf("a second start: %v", err)
	}
	if _, err := Validate(other, s, today); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OUTPOINT_SPENT {
		t.Errorf("a second first version: %v", err)
	}
	start := Outpoint{Tx: one.ID}
	for version := uint64(2); version < 5; version++ {
		p := metadata(t, carol, version)
		if version == 4 {
			p.Keys = nil // revoked
		}
		tx := build(NewBuilder(testNetwork).Spend(start), p)
		next, err := ValidateSigned(tx, s, today)
		if err != nil {
			t.Fatal(version, err)
		}
		mustApply(t, s, next, now)
		start = Outpoint{Tx: tx.ID}
		if version == 2 {
			if _, err := Validate(tx, s, today); refusal.ReasonOf(err) != notaryv1.Reason_REASON_OUTPOINT_SPENT {
				t.Errorf("a second second version: %v", err)
			}
			// Undone, everything is as it was, the origin too.
			undone := clone(s)
			if undone.Revert(next) != nil || undone.Revert(d) != nil || !undone.Equal(before) {
				t.Error("a chain undone leaves something")
			}
		}
	}
}

// TestOriginIsNobodysElse: a payment cannot spend the origin of a peer.
func TestOriginIsNobodysElse(t *testing.T) {
	tx := mustFinish(t, mustDraft(t, NewBuilder(testNetwork).Spend(Origin(group.PeerID(carol.Public()))).
		Store(aliceLock.Address(), Data{Kind: notaryv1.DataKind_DATA_KIND_INLINE, Payload: []byte{1}})).Sign(carol))
	if _, err := Validate(tx, world(t), today); refusal.ReasonOf(err) != notaryv1.Reason_REASON_UNKNOWN_OUTPOINT {
		t.Error(err)
	}
}

// TestLinkAge: a link waits for the epoch to pass, unless it acts on evidence or the network has
// certified it.
func TestLinkAge(t *testing.T) {
	s := world(t)
	made := uint64(now - 1000) // when the outputs of the world became final
	build := func(evidence ...domain.Hash) *Tx {
		return mustFinish(t, mustDraft(t, NewLink(at(atLink), []Outpoint{at(atPeer)}, epoch1(t, evidence...), testRules.EpochMS)).Sign(carol))
	}
	plain, urgent := build(), build(domain.Hash(bytes32(5)))
	if got := OpensMS(plain, s); got != made+testRules.EpochMS {
		t.Errorf("opens at %d", got)
	}
	if got := OpensMS(urgent, s); got != 0 {
		t.Errorf("one on evidence opens at %d", got)
	}
	for _, c := range []struct {
		tx   *Tx
		m    Moment
		want notaryv1.Reason
	}{
		{plain, Moment{NowMS: made + testRules.EpochMS - 1}, notaryv1.Reason_REASON_LOCK_NOT_OPEN},
		{plain, Moment{NowMS: made + testRules.EpochMS - 1, IgnoreWindow: true}, notaryv1.Reason_REASON_LOCK_NOT_OPEN},
		{plain, Moment{NowMS: made + testRules.EpochMS}, 0},
		{plain, Moment{NowMS: 0, IgnoreLocks: true}, 0},
		{urgent, Moment{NowMS: 0}, 0},
	} {
		if _, err := ValidateSigned(c.tx, s, c.m); refusal.ReasonOf(err) != c.want {
			t.Errorf("%+v: %v", c.m, err)
		}
	}
}

// TestOneLinkOfOneCut: whoever proposes it, a link from one cut to one group has one id.
func TestOneLinkOfOneCut(t *testing.T) {
	cut := []Outpoint{at(atPeer), at(atPeerBob)}
	a := mustDraft(t, NewLink(at(atLink), cut, epoch1(t), testRules.EpochMS))
	cut[0], cut[1] = cut[1], cut[0]
	b := mustDraft(t, NewLink(at(atLink), cut, epoch1(t), testRules.EpochMS))
	if a.ID() != b.ID() {
		t.Error("two ids")
	}
}

// TestNetworkOutputsAskNoFee: neither links nor newcomers have coins.
func TestNetworkOutputsAskNoFee(t *testing.T) {
	s, p := world(t), FeePolicy{MinUnits: 1}
	for name, want := range map[string]bool{
		"the first version of a peer": true, "a link on evidence": true, "move a product": false, "a spent output that is read": false,
	} {
		tx := mustFinish(t, validDrafts(t)[name])
		entries, known := Inputs(tx, s)
		if err := ValidateAmong(tx, entries, known, today); err != nil {
			t.Fatal(name, err)
		}
		if err := p.Check(tx, entries); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestRulesWithoutGenesis: who does not hold the genesis document reads links and peers all the same.
func TestRulesWithoutGenesis(t *testing.T) {
	p := metadata(t, carol, 1)
	p.Nonce = 0
	b := NewBuilder(testNetwork).Spend(Origin(p.ID)).Output(mustPeer(t, p))
	raw := mustDraft(t, b).Sign(carol).Raw()
	tx, err := Decode(raw, Rules{Network: testNetwork})
	if err != nil || tx.Peer == nil || tx.Peer.ID != p.ID {
		t.Error(err)
	}
	if work := group.Work(testNetwork, p.Master, 0); work >= 40 {
		t.Fatalf("%d bits by luck", work)
	}
	if _, err := Decode(raw, Rules{Network: testNetwork, WorkBits: 40}); refusal.ReasonOf(err) != notaryv1.Reason_REASON_WORK_TOO_LOW {
		t.Error(err)
	}
}
