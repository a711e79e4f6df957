package group

import (
	"cmp"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of a genesis document and of the money it makes.
const (
	MaxGenesisBytes = 16 << 20
	// MaxSupply is 1e9 coins of 1e9 base units.
	MaxSupply = 1_000_000_000_000_000_000
	// MaxRewardEpochs is the number of reward epochs at most.
	MaxRewardEpochs = 1000
	// MaxTransactionBytes and MaxLeaves are the limits of this protocol version, which a network may
	// narrow.
	MaxTransactionBytes = 262_144
	MaxLeaves           = 20_000
	// MinLeaves is what a closing statement takes: a link and a lock that was inherited under it.
	MinLeaves = 2
	// DefaultWorkBits is the work of a peer, MaxWorkBits what a network may ask for at most.
	DefaultWorkBits, MaxWorkBits = 20, 40
	// DefaultEpochMS is the time from one link to the next in milliseconds; a network sets it between the
	// two that follow.
	DefaultEpochMS, MinEpochMS, MaxEpochMS = 3_600_000, 1000, 604_800_000
)

var genesisSchema = canonical.MustCompile(&notaryv1.Genesis{}, MaxGenesisBytes)

// Genesis is a checked genesis document. Immutable.
type Genesis struct {
	// Doc is the parsed document. Not to be changed.
	Doc *notaryv1.Genesis
	// Bytes is its canonical encoding, ID the network id: H("notary/genesis/v1", Bytes).
	Bytes []byte
	ID    domain.Hash
	// Group is the group of epoch 0.
	Group *Group
}

// DecodeGenesis reads the canonical encoding of a genesis document.
func DecodeGenesis(b []byte) (*Genesis, error) {
	var doc notaryv1.Genesis
	if err := genesisSchema.Unmarshal(b, &doc); err != nil {
		return nil, err
	}
	if !named(doc.Name, 32, true) {
		return nil, invalid("name", "want 1 to 32 lower-case letters, digits and dashes")
	}
	if !named(doc.AddressPrefix, 16, false) {
		return nil, invalid("address_prefix", "want 1 to 16 lower-case letters")
	}
	if err := checkLimits(doc.GetLimits()); err != nil {
		return nil, err
	}
	if err := checkSupply(&doc); err != nil {
		return nil, err
	}
	g := &Genesis{Doc: &doc, Bytes: b, ID: domain.Sum(domain.TagGenesis, b)}
	seeds, err := membersFrom(doc.Seeds)
	if err != nil {
		return nil, refusal.Under("seeds", err)
	}
	g.Group, err = (&Group{network: g.ID, members: seeds}).finish()
	if err != nil {
		return nil, refusal.Under("seeds", err)
	}
	if err := checkPossession(seeds, doc.BlsPossessions); err != nil {
		return nil, err
	}
	return g, nil
}

// checkPossession holds every BLS key of the seeds to its proof of possession: what links check for those
// who come later.
func checkPossession(seeds []Member, proofs [][]byte) error {
	n := 0
	for i := range seeds {
		for _, k := range seeds[i].Keys {
			if k.BLS == nil {
				continue
			}
			at := fmt.Sprintf("bls_possessions[%d]", n)
			switch {
			case n == len(proofs):
				return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, at, "no proof of possession of the BLS key of %s", k.Key)
			case !bls.VerifyPossession(bls.PublicKey(k.BLS), k.Key, bls.Signature(proofs[n])):
				return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, at, "no proof of possession of the BLS key of %s", k.Key)
			}
			n++
		}
	}
	if n < len(proofs) {
		return invalid(fmt.Sprintf("bls_possessions[%d]", n), "a proof for no BLS key")
	}
	return nil
}

// WorkBits is the work that the network asks of a peer, in leading zero bits.
func (g *Genesis) WorkBits() int {
	return int(cmp.Or(g.Doc.GetLimits().GetWorkBits(), DefaultWorkBits))
}

// EpochMS is the least time from one link to the next in milliseconds.
func (g *Genesis) EpochMS() uint64 { return cmp.Or(g.Doc.GetLimits().GetEpochMs(), DefaultEpochMS) }

// LinkIndex is the index of the LINK output that holds the group of epoch 0, under the network id as
// transaction: it follows the allocations and the outputs of the reward epochs.
func (g *Genesis) LinkIndex() uint32 {
	return uint32(len(g.Doc.GetAllocations())) + g.Doc.GetRewards().GetEpochs()
}

// MakeGenesis encodes and checks a document.
func MakeGenesis(doc *notaryv1.Genesis) (*Genesis, error) {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(doc)
	if err != nil {
		return nil, err
	}
	return DecodeGenesis(b)
}

// checkLimits: a network narrows what a transaction and an observation may be, and sets the price of a
// peer and the pace of links within bounds.
func checkLimits(l *notaryv1.NetworkLimits) error {
	if l.GetMaxTransactionBytes() > MaxTransactionBytes {
		return invalid("limits.max_transaction_bytes", "%d, at most %d", l.GetMaxTransactionBytes(), MaxTransactionBytes)
	}
	if n := l.GetMaxLeaves(); n > MaxLeaves || n == 1 {
		return invalid("limits.max_leaves", "%d, want %d to %d, or 0", n, MinLeaves, MaxLeaves)
	}
	if l.GetWorkBits() > MaxWorkBits {
		return invalid("limits.work_bits", "%d, at most %d", l.GetWorkBits(), MaxWorkBits)
	}
	if ms := l.GetEpochMs(); ms != 0 && (ms < MinEpochMS || ms > MaxEpochMS) {
		return invalid("limits.epoch_ms", "%d, want %d to %d", ms, MinEpochMS, MaxEpochMS)
	}
	return nil
}

func checkSupply(doc *notaryv1.Genesis) error {
	r := doc.GetRewards()
	if r.GetEpochs() > MaxRewardEpochs || r.GetUnitsPerEpoch() > MaxSupply {
		return invalid("rewards", "more than %d epochs or %d units", MaxRewardEpochs, uint64(MaxSupply))
	}
	var sum uint64
	add := func(units uint64) bool {
		sum += units
		return units <= MaxSupply && sum <= MaxSupply
	}
	for range r.GetEpochs() {
		if !add(r.GetUnitsPerEpoch()) {
			return refusal.New(notaryv1.Reason_REASON_AMOUNT_OVERFLOW, "rewards", "more than the supply of %d", uint64(MaxSupply))
		}
	}
	for _, o := range doc.GetAllocations() {
		if len(o.GetProduct()) == 0 && !add(o.GetAmount()) {
			return refusal.New(notaryv1.Reason_REASON_AMOUNT_OVERFLOW, "allocations", "more than the supply of %d", uint64(MaxSupply))
		}
	}
	return nil
}

func named(s string, most int, more bool) bool {
	if len(s) == 0 || len(s) > most {
		return false
	}
	for _, c := range []byte(s) {
		letter := c >= 'a' && c <= 'z'
		if !letter && (!more || (c != '-' && (c < '0' || c > '9'))) {
			return false
		}
	}
	return true
}

// Seeds are members as a genesis document lists them: by ascending peer id.
func Seeds(members []Member) []*notaryv1.Member {
	sorted := slices.SortedFunc(slices.Values(members), func(a, b Member) int { return a.PeerID.Compare(b.PeerID) })
	out := make([]*notaryv1.Member, len(sorted))
	for i := range sorted {
		out[i] = sorted[i].proto()
	}
	return out
}

// Possessions are the proofs of possession of the BLS keys that seeds list, in that order: what a genesis
// document states beside Seeds. proof gives that of the BLS key of a node key.
func Possessions(seeds []*notaryv1.Member, proof func(node domain.PublicKey) bls.Signature) [][]byte {
	var out [][]byte
	for _, m := range seeds {
		for _, k := range m.Keys {
			if len(k.BlsKey) > 0 {
				p := proof(domain.PublicKey(k.Key))
				out = append(out, p[:])
			}
		}
	}
	return out
}

// Split divides the whole into n equal weights; the remainder goes to the first, one unit each.
func Split(n int) []Weight {
	out := make([]Weight, n)
	for i := range out {
		out[i] = Total / Weight(n)
		if Weight(i) < Total%Weight(n) {
			out[i]++
		}
	}
	return out
}
