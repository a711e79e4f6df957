package utxo

import (
	"bytes"
	"errors"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// TestCoSigning: a body travels to each signer, their signatures come back as one witness.
func TestCoSigning(t *testing.T) {
	body := mustDraft(t, start(atShared).Pay(bobLock.Address(), Product{}, 70*coin)).Body()
	var signatures []LockSignature
	for i, k := range sharedLock.Keys[:2] {
		d, err := NewDraft(bytes.Clone(body), testRules)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Tx().Outputs[0].Amount; got != 70*coin {
			t.Fatalf("shows %d to its signer", got)
		}
		signatures = append(signatures, LockSignature{uint32(i), d.Signature(domain.NewPrivateKey(seedOf(k)))})
	}
	d, err := NewDraft(body, testRules)
	if err != nil {
		t.Fatal(err)
	}
	tx := mustFinish(t, d.AddWitness(Witness{Lock: sharedLock, Signatures: signatures}))
	if _, err := ValidateSigned(tx, world(t), today); err != nil {
		t.Fatal(err)
	}
	if tx.ID != d.ID() {
		t.Error("a witness changed the id")
	}
}

// TestWitnessesDoNotChangeTheID, but they change the full hash, by which verdicts are remembered.
func TestWitnessesDoNotChangeTheID(t *testing.T) {
	d := mustDraft(t, start(atShared).Pay(bobLock.Address(), Product{}, 70*coin))
	e, err := NewDraft(d.Body(), testRules)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.SignLock(sharedLock, nil, alice, bob), e.SignLock(sharedLock, nil, bob, carol)); err != nil {
		t.Fatal(err)
	}
	a, b := mustFinish(t, d), mustFinish(t, e)
	if a.ID != b.ID || a.FullHash == b.FullHash || bytes.Equal(a.Raw, b.Raw) {
		t.Errorf("ids %s, %s, full hashes %s, %s", a.ID, b.ID, a.FullHash, b.FullHash)
	}
}

func TestSignLockRefuses(t *testing.T) {
	d := mustDraft(t, transfer())
	for name, c := range map[string]struct {
		lock     Lock
		preimage []byte
		keys     []domain.PrivateKey
		reason   notaryv1.Reason
	}{
		"too few keys":   {sharedLock, nil, mine, notaryv1.Reason_REASON_INVALID_WITNESS},
		"another's key":  {bobLock, nil, mine, notaryv1.Reason_REASON_INVALID_WITNESS},
		"no preimage":    {hashLock, nil, []domain.PrivateKey{carol}, notaryv1.Reason_REASON_INVALID_WITNESS},
		"wrong preimage": {hashLock, bytes32(8), []domain.PrivateKey{carol}, notaryv1.Reason_REASON_WRONG_PREIMAGE},
		"no lock at all": {Lock{}, nil, mine, notaryv1.Reason_REASON_INVALID_LOCK},
		"impossible":     {NewLock(3, alice.Public()), nil, mine, notaryv1.Reason_REASON_INVALID_LOCK},
	} {
		if err := d.SignLock(c.lock, c.preimage, c.keys...); !errors.Is(err, refusal.Because(c.reason)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(d.witnesses) != 0 {
		t.Error("a refused witness was added")
	}
}

func TestBuilderRefuses(t *testing.T) {
	to := bobLock.Address()
	for name, c := range map[string]struct {
		builder *Builder
		reason  notaryv1.Reason
	}{
		"nothing":           {NewBuilder(testNetwork), notaryv1.Reason_REASON_NO_SPEND},
		"no network":        {NewBuilder(domain.Hash{}).Spend(at(0)).Pay(to, Product{}, 1), notaryv1.Reason_REASON_MISSING_FIELD},
		"nothing paid":      {start(0).Pay(to, Product{}, 0), notaryv1.Reason_REASON_ZERO_AMOUNT},
		"nobody paid":       {start(0).Pay(Address{}, Product{}, 1), notaryv1.Reason_REASON_MISSING_FIELD},
		"memo too long":     {transfer().Memo(make([]byte, 257)), notaryv1.Reason_REASON_LIMIT_EXCEEDED},
		"salt too long":     {transfer().Salt(make([]byte, 33)), notaryv1.Reason_REASON_LIMIT_EXCEEDED},
		"facilitator twice": {transfer().Facilitators(alice.Public(), alice.Public()), notaryv1.Reason_REASON_NON_CANONICAL},
		"window":            {transfer().Window(2, 1), notaryv1.Reason_REASON_INVALID_WINDOW},
	} {
		if _, err := c.builder.Build(); !errors.Is(err, refusal.Because(c.reason)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := mustDraft(t, transfer())
	if _, err := NewDraft(d.Body(), Rules{Network: domain.Hash(bytes32(1))}); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_WRONG_NETWORK)) {
		t.Error(err)
	}
}

// TestBuilderKeepsNothing: what was handed in may change afterwards.
func TestBuilderKeepsNothing(t *testing.T) {
	memo, salt := []byte("memo"), []byte("salt")
	keys := []domain.PublicKey{carol.Public(), alice.Public()}
	b := transfer().Memo(memo).Salt(salt).Facilitators(keys...)
	want := mustDraft(t, b).ID()
	memo[0], salt[0], keys[0] = 'x', 'x', bob.Public()
	if got := mustDraft(t, b).ID(); got != want {
		t.Error("a transaction changed behind its builder")
	}
	if b.Issues() != ProductID(at(atAlice)) || NewBuilder(testNetwork).Read(at(0)).Issues() != (Product{}) {
		t.Error("issues something else")
	}
}

func TestLockAddresses(t *testing.T) {
	twisted := NewLock(2, carol.Public(), bob.Public(), alice.Public())
	if twisted.Address() != sharedLock.Address() || twisted.Validate() != nil {
		t.Error("the order of keys matters")
	}
	seen := make(map[Address]bool)
	locks := []Lock{aliceLock, bobLock, sharedLock, hashLock, NewLock(1, sharedLock.Keys...), NewLock(3, sharedLock.Keys...)}
	for _, l := range locks {
		w := Witness{Lock: l}
		if seen[l.Address()] || w.Address() != l.Address() || l.Validate() != nil {
			t.Errorf("lock %+v", l)
		}
		seen[l.Address()] = true
	}
	many := make([]domain.PublicKey, MaxLockKeys+1)
	for i := range many {
		many[i] = keyOf(byte(i)).Public()
	}
	if err := NewLock(1, many...).Validate(); refusal.ReasonOf(err) != notaryv1.Reason_REASON_INVALID_LOCK {
		t.Error(err)
	}
	if err := NewLock(MaxLockKeys, many[1:]...).Validate(); err != nil {
		t.Error(err)
	}
}

func TestProductInfo(t *testing.T) {
	p, err := DecodeProductInfo(marshal(t, &notaryv1.ProductInfo{Name: "Apples", Decimals: 18}))
	if err != nil || p.GetName() != "Apples" || p.GetDecimals() != 18 {
		t.Error(p, err)
	}
	for _, b := range [][]byte{{0xff}, marshal(t, &notaryv1.ProductInfo{Decimals: 19}), marshal(t, &notaryv1.ProductInfo{Name: string(make([]byte, 65))})} {
		if _, err := DecodeProductInfo(b); err == nil {
			t.Errorf("%x", b)
		}
	}
}
