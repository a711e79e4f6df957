package utxo

import (
	"crypto/sha256"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Short names for what tables are full of.
const (
	payment = notaryv1.OutputKind_OUTPUT_KIND_PAYMENT
	fee     = notaryv1.OutputKind_OUTPUT_KIND_FEE
	data    = notaryv1.OutputKind_OUTPUT_KIND_DATA
	spend   = notaryv1.InputKind_INPUT_KIND_SPEND
	read    = notaryv1.InputKind_INPUT_KIND_READ
)

// now is the instant of most tests: 2026-01-01, Unix milliseconds.
const now = 1_767_225_600_000

// prefix is the address prefix of the network of these tests.
const prefix = "ntest"

var (
	testNetwork = domain.Sum(domain.TagGenesis, []byte("a network for tests"))
	// alice, bob and carol are keys of known seeds: 32 bytes of 1, of 2, of 3.
	alice, bob, carol = keyOf(1), keyOf(2), keyOf(3)
	aliceLock         = KeyLock(alice.Public())
	bobLock           = KeyLock(bob.Public())
	// sharedLock is two of three; hashLock one key and a preimage of 32 bytes of 9.
	sharedLock = NewLock(2, alice.Public(), bob.Public(), carol.Public())
	preimage   = bytes32(9)
	hashLock   = Lock{Threshold: 1, Keys: []domain.PublicKey{carol.Public()}, HashLock: sha256.Sum256(preimage)}
	gold       = domain.Sum(domain.TagProduct, []byte("gold"))
	parent     = domain.Sum(domain.TagTx, []byte("an earlier transaction"))
	testRules  = Rules{Network: testNetwork, WorkBits: 8, EpochMS: 15_000}
	today      = Moment{NowMS: now}
)

func bytes32(b byte) []byte {
	out := make([]byte, 32)
	for i := range out {
		out[i] = b
	}
	return out
}

func keyOf(b byte) domain.PrivateKey { return domain.NewPrivateKey([32]byte(bytes32(b))) }

// The outputs that the tests start with, by position in the transaction `parent`.
const (
	atAlice   = iota // 100 coins of alice
	atBob            // 50 coins of bob
	atShared         // 70 coins of two of alice, bob, carol
	atHash           // 30 coins behind carol's key and a preimage
	atGold           // 1,000 gold of alice
	atSpent          // 10 coins of alice, spent
	atLater          // 20 coins of alice, not before tomorrow
	atYoung          // 20 coins of alice, to age a day
	atBoth           // 40 coins of alice, with bob as counterparty
	atReward         // a reward epoch
	atLink           // the link of epoch 0: carol votes
	atPeer           // the first version of alice's metadata
	atRich           // as many coins as fit, of alice
	atData           // data of alice, worth nothing
	atPeerBob        // the second version of bob's metadata
	worldSize        // one past the last
)

const (
	coin = UnitsPerCoin
	day  = 86_400_000
)

func at(i uint32) Outpoint { return Outpoint{Tx: parent, Index: i} }

// world is the set of outputs that the tests start with.
func world(t testing.TB) *Set {
	t.Helper()
	mine := aliceLock.Address()
	outputs := [worldSize]Output{
		atAlice:  {Kind: payment, Address: mine, Amount: 100 * coin},
		atBob:    {Kind: payment, Address: bobLock.Address(), Amount: 50 * coin},
		atShared: {Kind: payment, Address: sharedLock.Address(), Amount: 70 * coin},
		atHash:   {Kind: payment, Address: hashLock.Address(), Amount: 30 * coin},
		atGold:   {Kind: payment, Address: mine, Product: gold, Amount: 1000},
		atSpent:  {Kind: payment, Address: mine, Amount: 10 * coin},
		atLater:  {Kind: payment, Address: mine, Amount: 20 * coin, NotBeforeMS: now + day},
		atYoung:  {Kind: payment, Address: mine, Amount: 20 * coin, MinAgeMS: day},
		atBoth:   {Kind: payment, Address: mine, Amount: 40 * coin, Counterparty: bobLock.Address()},
		atReward: {Kind: notaryv1.OutputKind_OUTPUT_KIND_REWARD, Amount: 1_000_000 * coin},
		atLink:   {Kind: notaryv1.OutputKind_OUTPUT_KIND_LINK, MinAgeMS: 15_000, Data: &Data{Kind: notaryv1.DataKind_DATA_KIND_GROUP}},
		atRich:   {Kind: payment, Address: mine, Amount: 1<<64 - 1},
		atData:   {Kind: data, Address: mine, Data: &Data{Kind: notaryv1.DataKind_DATA_KIND_RECORD, Payload: []byte("a record")}},
	}
	outputs[atLink].Data.Payload = epoch0(t).Bytes()
	for at, p := range map[int]*group.Peer{atPeer: metadata(t, alice, 1), atPeerBob: metadata(t, bob, 2)} {
		outputs[at] = mustPeer(t, p)
	}
	s := &Set{}
	d := Delta{Tx: parent}
	for i, o := range outputs {
		d.Created = append(d.Created, Created{Outpoint: at(uint32(i)), Output: o})
	}
	mustApply(t, s, d, now-1000)
	entry, _ := s.Lookup(at(atSpent))
	mustApply(t, s, Delta{
		Tx:    domain.Sum(domain.TagTx, []byte("a spender")),
		Spent: []Spent{{Outpoint: at(atSpent), Entry: entry}},
	}, now-500)
	return s
}

func mustApply(t testing.TB, s *Set, d Delta, finalMS uint64) {
	t.Helper()
	if err := s.Apply(d, finalMS); err != nil {
		t.Fatal(err)
	}
}

// epoch0 is the group that the world starts with: alice's peer, for which carol's key votes.
func epoch0(t testing.TB) *group.Group {
	t.Helper()
	return mustGroup(t, 0, domain.Hash{}, nil)
}

// epoch1 is a group that follows it.
func epoch1(t testing.TB, evidence ...domain.Hash) *group.Group {
	t.Helper()
	return mustGroup(t, 1, epoch0(t).Link(), evidence)
}

func mustGroup(t testing.TB, epoch uint64, previous domain.Hash, evidence []domain.Hash) *group.Group {
	t.Helper()
	g, err := group.New(testNetwork, epoch, previous, []group.Member{{
		PeerID: group.PeerID(alice.Public()), Weight: group.Total, Keys: []group.NodeKey{{Key: carol.Public(), SigningEpoch: 1}},
	}}, evidence)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// metadata is a version of what the peer of a master key says: carol's key is its node, and it labels
// one peer.
func metadata(t testing.TB, master domain.PrivateKey, version uint64) *group.Peer {
	t.Helper()
	id := group.PeerID(master.Public())
	return &group.Peer{
		ID: id, Master: master.Public(), Version: version,
		Keys:  []group.CertifiedKey{group.Certify(carol, 1, testNetwork, id)},
		Nonce: group.FindWork(testNetwork, master.Public(), testRules.WorkBits), Labels: []group.Label{{Peer: domain.Hash(bytes32(7)), Score: -5}},
		Name: "peer", Addresses: []string{"/ip4/127.0.0.1/tcp/7701"},
	}
}

func mustPeer(t testing.TB, p *group.Peer) Output {
	t.Helper()
	o, err := PeerOutput(p)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// start is a builder that spends the i-th output of the world.
func start(i uint32) *Builder { return NewBuilder(testNetwork).Spend(at(i)) }

// transfer pays 60 coins of alice to bob and 39 back, with a fee of one coin.
func transfer() *Builder {
	return start(atAlice).
		Pay(bobLock.Address(), Product{}, 60*coin).
		Pay(aliceLock.Address(), Product{}, 39*coin).
		Fee(Address{}, 1*coin)
}

func mustDraft(t testing.TB, b *Builder) *Draft {
	t.Helper()
	d, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func mustFinish(t testing.TB, d *Draft) *Tx {
	t.Helper()
	tx, err := d.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// bodyOf is the body that a builder would encode, unchecked, as the generated type.
func bodyOf(t testing.TB, b *Builder) *notaryv1.TransactionBody {
	t.Helper()
	p := &notaryv1.TransactionBody{}
	if err := bodySchema.Unmarshal(b.tx.appendBody(nil), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// sealed encodes a body, whatever it says, and signs it with these keys; edits come last.
func sealed(t testing.TB, body *notaryv1.TransactionBody, keys []domain.PrivateKey, edits ...func(*notaryv1.Transaction)) []byte {
	t.Helper()
	p := &notaryv1.Transaction{Body: marshal(t, body)}
	id := domain.Sum(domain.TagTx, p.Body)
	for _, k := range keys {
		public, s := k.Public(), domain.Sign(k, domain.TagTx, testNetwork, id)
		p.Witnesses = append(p.Witnesses, &notaryv1.Witness{
			Lock:       &notaryv1.Lock{Threshold: 1, Keys: [][]byte{public[:]}},
			Signatures: []*notaryv1.LockSignature{{Signature: s[:]}},
		})
	}
	for _, edit := range edits {
		edit(p)
	}
	return marshal(t, p)
}

func marshal(t testing.TB, m proto.Message) []byte {
	t.Helper()
	b, err := canonical.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
