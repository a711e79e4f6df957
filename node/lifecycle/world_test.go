package lifecycle

import (
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

const (
	coin = utxo.UnitsPerCoin
	// now is the instant of most tests, Unix milliseconds, and day one day of it.
	now = 1_767_225_600_000
	day = 86_400_000
)

var (
	network   = domain.Sum(domain.TagGenesis, []byte("a network for machines"))
	alice     = keyOf(1)
	bob       = keyOf(2)
	parent    = domain.Sum(domain.TagTx, []byte("a final transaction"))
	orphanage = domain.Sum(domain.TagTx, []byte("a transaction that nobody has"))
	rivalID   = domain.Sum(domain.TagTx, []byte("a rival"))
	members   = groupOf(4)
)

func keyOf(b byte) domain.PrivateKey {
	var seed [32]byte
	for i := range seed {
		seed[i] = b
	}
	return domain.NewPrivateKey(seed)
}

func address(k domain.PrivateKey) utxo.Address { return utxo.KeyLock(k.Public()).Address() }

// groupOf is a group of n peers of equal weight.
func groupOf(n int) *group.Group {
	var list []group.Member
	for i, w := range group.Split(n) {
		key := keyOf(byte(50 + i)).Public()
		list = append(list, group.Member{PeerID: domain.Sum(domain.TagPeer, key[:]), Weight: w, Keys: []group.NodeKey{{Key: key}}})
	}
	g, err := group.New(network, 0, domain.Hash{}, list, nil)
	if err != nil {
		panic(err)
	}
	return g
}

// The outputs of parent, by position.
const (
	atCoin   = iota // 10 coins of alice
	atLocked        // 10 coins of alice, not before tomorrow
	atBob           // 10 coins of bob
	atLink          // the group of epoch 0
)

func at(i uint32) utxo.Outpoint { return utxo.Outpoint{Tx: parent, Index: i} }

// world is what a node has final.
func world(t testing.TB) *utxo.Set {
	t.Helper()
	set := new(utxo.Set)
	outputs := []utxo.Output{
		atCoin:   {Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: address(alice), Amount: 10 * coin},
		atLocked: {Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: address(alice), Amount: 10 * coin, NotBeforeMS: now + day},
		atBob:    {Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: address(bob), Amount: 10 * coin},
		atLink:   utxo.LinkOutput(members, 0),
	}
	d := utxo.Delta{Tx: parent}
	for i, o := range outputs {
		d.Created = append(d.Created, utxo.Created{Outpoint: at(uint32(i)), Output: o})
	}
	if err := set.Apply(d, now-day); err != nil {
		t.Fatal(err)
	}
	return set
}

// transactions are those that scenarios speak of, by name.
func transactions(t testing.TB) map[string]*utxo.Tx {
	t.Helper()
	pay := func(o utxo.Outpoint) *utxo.Builder {
		return utxo.NewBuilder(network).Spend(o).Pay(address(bob), utxo.Product{}, 10*coin)
	}
	finish := func(b *utxo.Builder, keys ...domain.PrivateKey) *utxo.Tx {
		d, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		tx, err := d.Sign(keys...).Finish()
		if err != nil {
			t.Fatal(err)
		}
		return tx
	}
	next, err := group.New(network, 1, members.Link(), members.Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]*utxo.Tx{
		"link":      finish(utxo.NewLink(at(atLink), nil, next, 0), keyOf(50)),
		"transfer":  finish(pay(at(atCoin)), alice),
		"child":     finish(pay(utxo.Outpoint{Tx: orphanage}), alice),
		"locked":    finish(pay(at(atLocked)), alice),
		"window":    finish(pay(at(atCoin)).Window(now+day, now+2*day), alice),
		"unsigned":  finish(pay(at(atBob)), alice), // alice's witness for bob's coins
		"imbalance": finish(pay(at(atCoin)).Pay(address(bob), utxo.Product{}, 1), alice),
	}
}

// adopt makes the child's parent final.
func adopt(t testing.TB, set *utxo.Set) {
	t.Helper()
	err := set.Apply(utxo.Delta{Tx: orphanage, Created: []utxo.Created{{
		Outpoint: utxo.Outpoint{Tx: orphanage},
		Output:   utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: address(alice), Amount: 10 * coin},
	}}}, now)
	if err != nil {
		t.Fatal(err)
	}
}

// take makes a rival final that spends what tx spends.
func take(t testing.TB, set *utxo.Set, tx *utxo.Tx) {
	t.Helper()
	d := utxo.Delta{Tx: rivalID}
	for _, o := range tx.Spends() {
		e, found := set.Lookup(o)
		if !found {
			t.Fatalf("%s is not known", o)
		}
		d.Spent = append(d.Spent, utxo.Spent{Outpoint: o, Entry: e})
	}
	if err := set.Apply(d, now); err != nil {
		t.Fatal(err)
	}
}

// look answers Look as the shell does.
func look(tx *utxo.Tx, view utxo.View, nowMS uint64) Looked {
	in := Looked{Entries: make([]utxo.Entry, len(tx.Inputs)), Found: make([]bool, len(tx.Inputs)), NowMS: nowMS}
	for i := range tx.Inputs {
		in.Entries[i], in.Found[i] = view.Lookup(tx.Inputs[i].Outpoint)
	}
	return in
}

// verify answers Verify as the shell does.
func verify(tx *utxo.Tx) Verified {
	for k, c := range tx.Checks() {
		if !c.Verify() {
			return Verified{Err: utxo.BadSignature(tx, k)}
		}
	}
	return Verified{}
}

func milestone(tx *utxo.Tx, kind conflict.MilestoneKind, round uint32) Counted {
	return Counted{Kind: kind, Round: round, Group: members}
}
