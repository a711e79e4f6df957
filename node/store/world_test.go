package store

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// What the tests are set in: one network, this node, three peers, three owners.
var (
	network = domain.Sum(domain.TagGenesis, []byte("a network for tests"))
	own     = keyOf(1)
	peers   = []domain.PrivateKey{keyOf(2), keyOf(3), keyOf(4)}
	owner   = keyOf(10)
	owners  = []utxo.Address{addressOf(10), addressOf(11), addressOf(12)}
	gold    = domain.Sum(domain.TagProduct, []byte("gold"))
	seeds   = mustGroup()
)

// now is the instant of most tests, Unix milliseconds.
const now = 1_767_225_600_000

func keyOf(b byte) domain.PrivateKey {
	return domain.NewPrivateKey([32]byte(bytes.Repeat([]byte{b}, 32)))
}

func addressOf(b byte) utxo.Address { return utxo.KeyLock(keyOf(b).Public()).Address() }

func mustGroup() *group.Group {
	var members []group.Member
	for i, k := range append([]domain.PrivateKey{own}, peers...) {
		members = append(members, group.Member{
			PeerID: domain.Sum(domain.TagPeer, []byte{byte(i)}),
			Weight: group.Total / 4,
			Keys:   []group.NodeKey{{Key: k.Public()}},
		})
	}
	g, err := group.New(network, 0, domain.Hash{}, members, nil)
	if err != nil {
		panic(err)
	}
	return g
}

// payment is a live output of the native coin.
func payment(to utxo.Address, amount uint64) utxo.Output {
	return utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: to, Amount: amount}
}

// document is an output with n bytes of data: from 512 bytes on it is kept in its transaction alone.
func document(to utxo.Address, n int) utxo.Output {
	return utxo.Output{
		Kind: notaryv1.OutputKind_OUTPUT_KIND_DATA, Address: to,
		Data: &utxo.Data{Kind: notaryv1.DataKind_DATA_KIND_INLINE, Payload: bytes.Repeat([]byte{7}, n)},
	}
}

// genesis gives each owner ten coins in turn, n in all, then a long document and a product.
func genesis(n int) utxo.Delta {
	d := utxo.Delta{Tx: network}
	add := func(o utxo.Output) {
		d.Created = append(d.Created, utxo.Created{Outpoint: utxo.Outpoint{Tx: network, Index: uint32(len(d.Created))}, Output: o})
	}
	for i := range n {
		add(payment(owners[i%len(owners)], 10))
	}
	add(document(owners[0], 2000))
	add(utxo.Output{
		Kind: notaryv1.OutputKind_OUTPUT_KIND_DATA, Address: owners[1], Product: gold, Amount: 5,
		Data: &utxo.Data{Kind: notaryv1.DataKind_DATA_KIND_PRODUCT_INFO, Payload: []byte("\x0a\x04gold\x10\x02")},
	})
	return d
}

func genesisOutpoint(i int) utxo.Outpoint { return utxo.Outpoint{Tx: network, Index: uint32(i)} }

// makeTx builds a transaction. Whether it balances is not the store's business.
func makeTx(t testing.TB, salt uint64, spends []utxo.Outpoint, outputs ...utxo.Output) *utxo.Tx {
	t.Helper()
	b := utxo.NewBuilder(network).Salt(binary.BigEndian.AppendUint64([]byte{1}, salt))
	for _, o := range spends {
		b.Spend(o)
	}
	for _, o := range outputs {
		b.Output(o)
	}
	draft, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	draft.AddWitness(utxo.Witness{Lock: utxo.KeyLock(owner.Public()), Signatures: []utxo.LockSignature{{Signature: domain.Signature{1}}}})
	tx, err := utxo.Decode(draft.Raw(), utxo.Rules{Network: network})
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

// finalOf makes a transaction final at a time, by the votes of three peers.
func finalOf(tx *utxo.Tx, finalMS uint64) Final {
	f := Final{Tx: tx, FinalMS: finalMS, Link: seeds.Link()}
	for i, k := range peers {
		f.Edges = append(f.Edges, EdgeRef{Key: k.Public(), Height: finalMS % 1000, Leaf: uint32(i)})
	}
	return f
}

// seal makes the observation that follows head, signed by key.
func seal(key domain.PrivateKey, head observation.Head, timeMS uint64, leaves ...observation.Leaf) *observation.Observation {
	head.Key = key.Public()
	return observation.Seal(head, seeds, leaves, timeMS).Sign(key)
}

// sealRow makes so many observations that follow each other; the last has the leaves.
func sealRow(key domain.PrivateKey, head observation.Head, timeMS uint64, n int, leaves ...observation.Leaf) (row []*observation.Observation) {
	for range n - 1 {
		row = append(row, seal(key, head, timeMS))
		head = row[len(row)-1].Head()
	}
	return append(row, seal(key, head, timeMS, leaves...))
}

// voteLeaf is a vote on a transaction.
func voteLeaf(id domain.Hash, state observation.State, round uint32) observation.Leaf {
	return observation.Leaf{Subject: id, Type: observation.SubjectTx, State: state, Round: round, TimeMS: now}
}

// recordsOf are the vote records of a transaction, one an outpoint.
func recordsOf(tx *utxo.Tx, state observation.State, round uint32) []conflict.Record {
	var list []conflict.Record
	for _, o := range tx.Spends() {
		r := conflict.Record{Outpoint: o, Round: round, State: state, Tx: tx.ID}
		if state == observation.Accepted {
			r.Certificate = conflict.CertAt(0, round)
		}
		list = append(list, r)
	}
	return list
}

// vote saves this node's vote on a transaction.
func vote(t testing.TB, s *Store, state observation.State, round uint32, txs ...*utxo.Tx) *observation.Observation {
	t.Helper()
	b := VoteBatch{Transactions: txs}
	var leaves []observation.Leaf
	for _, tx := range txs {
		leaves = append(leaves, voteLeaf(tx.ID, state, round))
		b.Records = append(b.Records, recordsOf(tx, state, round)...)
	}
	b.Observations = []*observation.Observation{seal(own, s.Head(ownChain(0)), now, leaves...)}
	if err := s.SaveVotes(b); err != nil {
		t.Fatal(err)
	}
	return b.Observations[0]
}

func ownChain(epoch uint32) observation.ChainID {
	return observation.ChainID{Key: own.Public(), SigningEpoch: epoch}
}

// testOptions make small stores on a file system in memory.
func testOptions(fs vfs.FS) Options {
	return Options{
		Network: network, Key: own.Public(), Create: true, Genesis: genesis(30), GenesisMS: now - 1000,
		MemBytes: 4 << 20, CacheBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler),
		Exit: func(int) { panic("pebble ended the process") },
		FS:   fs,
	}
}

func mustOpen(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open("node/store", o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustClose(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// openTest is a new store that is closed when the test ends.
func openTest(t testing.TB, change ...func(*Options)) *Store {
	t.Helper()
	o := testOptions(vfs.NewMem())
	for _, f := range change {
		f(&o)
	}
	s := mustOpen(t, o)
	t.Cleanup(func() { mustClose(t, s) })
	return s
}

// dump is every record, key and value in hexadecimal, once the index is up to date.
func dump(t testing.TB, s *Store) string {
	t.Helper()
	if err := s.bringUp(); err != nil {
		t.Fatal(err)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	for valid := it.First(); valid; valid = it.Next() {
		b.WriteString(hex.EncodeToString(it.Key()) + " " + hex.EncodeToString(it.Value()) + "\n")
	}
	if err := it.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// collect drains a sequence.
func collect[T any](t testing.TB, seq func(func(T, error) bool)) []T {
	t.Helper()
	var list []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, v)
	}
	return list
}
