package sim

import (
	"encoding/binary"
	"fmt"
	"math/rand"
	"sync"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// ledger is the genesis of a network of peers, with coins for every seed to spend. Seeds share it.
type ledger struct {
	genesis *group.Genesis
	delta   utxo.Delta
	keys    []domain.PrivateKey // by node
	voters  []int               // position in the group, by node
	nodes   map[domain.PublicKey]int
	owner   domain.PrivateKey
	spent   int // coins handed out in this run
}

// coins is the number of outputs that genesis holds, of units each.
const (
	coins = 400
	units = 1_000_000
	// startMS is where the clocks of all nodes start, Unix milliseconds.
	startMS = 1_800_000_000_000
)

// variants is how many different distributions of unequal weight there are.
const variants = 16

// ledgerKey is what ledgers are shared by; variant 0 is equal weights.
type ledgerKey struct {
	nodes, variant int
	epochs         bool
}

var (
	ledgers   = make(map[ledgerKey]*ledger)
	ledgersMu sync.Mutex
)

func seedKey(kind byte, n int) domain.PrivateKey {
	var seed [32]byte
	seed[0] = kind
	binary.BigEndian.PutUint32(seed[1:], uint32(n))
	return domain.NewPrivateKey(seed)
}

func newLedger(n int, s *Scenario, seed int64) *ledger {
	key := ledgerKey{nodes: n, epochs: s.Epochs}
	if s.Unequal {
		key.variant = 1 + int(uint64(seed)%variants)
	}
	ledgersMu.Lock()
	defer ledgersMu.Unlock()
	l := ledgers[key]
	if l == nil {
		l = makeLedger(key)
		ledgers[key] = l
	}
	fresh := *l
	return &fresh
}

// shares are weights that sum to the whole: equal ones, or at random ones that differ tenfold.
func (key ledgerKey) shares() []group.Weight {
	if key.epochs && key.nodes == 3 { // heirs
		return []group.Weight{340_000_000, 330_000_000, 330_000_000}
	}
	parts := make([]group.Weight, key.nodes)
	rng := rand.New(rand.NewSource(int64(key.variant)))
	var sum group.Weight
	for i := range parts {
		parts[i] = 1
		if key.variant > 0 {
			parts[i] = group.Weight(10 + rng.Intn(90))
		}
		sum += parts[i]
	}
	left := group.Total
	for i := range parts {
		share := left * parts[i] / sum
		sum -= parts[i]
		left -= share
		parts[i] = share
	}
	return parts
}

func makeLedger(key ledgerKey) *ledger {
	n := key.nodes
	l := &ledger{owner: seedKey('o', 0), nodes: make(map[domain.PublicKey]int)}
	doc := &notaryv1.Genesis{Name: fmt.Sprintf("sim-%d", n), AddressPrefix: "sim", TimeMs: startMS}
	if key.epochs {
		doc.Limits = &notaryv1.NetworkLimits{EpochMs: 1000}
	}
	for i, share := range key.shares() {
		key := seedKey('k', i)
		l.keys = append(l.keys, key)
		l.nodes[key.Public()] = i
		id := domain.Hash{0: byte(i >> 8), 1: byte(i)}
		public := key.Public()
		doc.Seeds = append(doc.Seeds, &notaryv1.Member{
			PeerId: id[:], Weight: uint64(share), Keys: []*notaryv1.NodeKey{{Key: public[:]}},
		})
	}
	address := utxo.KeyLock(l.owner.Public()).Address()
	for range coins {
		doc.Allocations = append(doc.Allocations, &notaryv1.Output{
			Address: address[:], Amount: units, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		})
	}
	genesis, err := group.MakeGenesis(doc)
	if err != nil {
		panic(err)
	}
	l.genesis = genesis
	if l.delta, err = utxo.GenesisDelta(genesis); err != nil {
		panic(err)
	}
	for i := range n {
		v, _ := genesis.Group.Voter(l.keys[i].Public())
		l.voters = append(l.voters, v)
	}
	return l
}

// epochMS is how long an epoch lasts at least, in milliseconds.
func (l *ledger) epochMS() uint64 { return utxo.RulesOf(l.genesis).EpochMS }

// coin is the next outpoint that nobody has spent in this run.
func (l *ledger) coin() utxo.Outpoint {
	l.spent++
	return utxo.Outpoint{Tx: l.genesis.ID, Index: uint32(l.spent - 1)}
}

// spend makes a transaction of some coins, each worth units, that differs from all others by its salt.
func (l *ledger) spend(rng *rand.Rand, coins ...utxo.Outpoint) *utxo.Tx {
	return l.spendUntil(rng, 0, coins...)
}

// spendUntil is spend with a window that ends, in milliseconds of Unix time.
func (l *ledger) spendUntil(rng *rand.Rand, untilMS uint64, coins ...utxo.Outpoint) *utxo.Tx {
	return l.build(rng, utxo.Output{}, 0, untilMS, coins...)
}

// build is spend with a window, 0 where it has no such end, to an output with the time locks of another.
func (l *ledger) build(rng *rand.Rand, lock utxo.Output, fromMS, untilMS uint64, coins ...utxo.Outpoint) *utxo.Tx {
	b := utxo.NewBuilder(l.genesis.ID)
	for _, o := range coins {
		b.Spend(o)
	}
	b.Output(utxo.Output{
		Address: utxo.KeyLock(l.owner.Public()).Address(), Amount: units * uint64(len(coins)), Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT,
		NotBeforeMS: lock.NotBeforeMS, MinAgeMS: lock.MinAgeMS,
	})
	b.Window(fromMS, untilMS)
	b.Salt(binary.BigEndian.AppendUint64(nil, rng.Uint64()))
	draft, err := b.Build()
	if err != nil {
		panic(err)
	}
	tx, err := draft.Sign(l.owner).Finish()
	if err != nil {
		panic(err)
	}
	return tx
}
