package group

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// document is a genesis document in which nothing is wrong.
func document() *notaryv1.Genesis {
	member := func(b byte, w Weight) *notaryv1.Member {
		id, key := hash(b), hash(b+100)
		return &notaryv1.Member{PeerId: id[:], Weight: uint64(w), Keys: []*notaryv1.NodeKey{{Key: key[:], SigningEpoch: 1}}}
	}
	address := hash(7)
	return &notaryv1.Genesis{
		Name: "test-1", AddressPrefix: "ntest", TimeMs: 1,
		Seeds:       []*notaryv1.Member{member(1, Total/4), member(2, Total/4), member(3, Total/2)},
		Allocations: []*notaryv1.Output{{Address: address[:], Amount: MaxSupply / 2, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT}},
		Rewards:     &notaryv1.RewardSchedule{Epochs: 1000, UnitsPerEpoch: MaxSupply / 2000},
		Limits:      &notaryv1.NetworkLimits{MaxTransactionBytes: MaxTransactionBytes, MaxLeaves: MaxLeaves},
	}
}

func TestGenesis(t *testing.T) {
	g, err := MakeGenesis(document())
	if err != nil {
		t.Fatal(err)
	}
	if g.ID != domain.Sum(domain.TagGenesis, g.Bytes) || g.Group.Network() != g.ID || g.Group.Epoch() != 0 || len(g.Group.Voters()) != 3 {
		t.Errorf("%+v", g)
	}
	h, err := DecodeGenesis(g.Bytes)
	if err != nil || h.ID != g.ID || h.Group.Link() != g.Group.Link() || h.Doc.GetName() != "test-1" {
		t.Errorf("%+v, %v", h, err)
	}
	other := document()
	other.TimeMs++
	if o, err := MakeGenesis(other); err != nil || o.ID == g.ID || o.Group.Link() == g.Group.Link() {
		t.Error("two networks share an id or a group", err)
	}
}

func TestGenesisRefuses(t *testing.T) {
	gold := hash(9)
	const (
		argument = notaryv1.Reason_REASON_INVALID_ARGUMENT
		overflow = notaryv1.Reason_REASON_AMOUNT_OVERFLOW
	)
	for name, c := range map[string]struct {
		edit   func(*notaryv1.Genesis)
		reason notaryv1.Reason
		field  string
	}{
		"no name":               {func(d *notaryv1.Genesis) { d.Name = "" }, argument, "name"},
		"name in capitals":      {func(d *notaryv1.Genesis) { d.Name = "Test" }, argument, "name"},
		"name too long":         {func(d *notaryv1.Genesis) { d.Name = strings.Repeat("a", 33) }, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "name"},
		"no prefix":             {func(d *notaryv1.Genesis) { d.AddressPrefix = "" }, argument, "address_prefix"},
		"prefix with a digit":   {func(d *notaryv1.Genesis) { d.AddressPrefix = "n1" }, argument, "address_prefix"},
		"prefix with a dash":    {func(d *notaryv1.Genesis) { d.AddressPrefix = "n-t" }, argument, "address_prefix"},
		"wider transactions":    {func(d *notaryv1.Genesis) { d.Limits.MaxTransactionBytes++ }, argument, "limits.max_transaction_bytes"},
		"one leaf":              {func(d *notaryv1.Genesis) { d.Limits.MaxLeaves = 1 }, argument, "limits.max_leaves"},
		"more leaves":           {func(d *notaryv1.Genesis) { d.Limits.MaxLeaves++ }, argument, "limits.max_leaves"},
		"work beyond anybody":   {func(d *notaryv1.Genesis) { d.Limits.WorkBits = MaxWorkBits + 1 }, argument, "limits.work_bits"},
		"epochs too short":      {func(d *notaryv1.Genesis) { d.Limits.EpochMs = MinEpochMS - 1 }, argument, "limits.epoch_ms"},
		"epochs too long":       {func(d *notaryv1.Genesis) { d.Limits.EpochMs = MaxEpochMS + 1 }, argument, "limits.epoch_ms"},
		"too many epochs":       {func(d *notaryv1.Genesis) { d.Rewards.Epochs++ }, argument, "rewards"},
		"an epoch too rich":     {func(d *notaryv1.Genesis) { d.Rewards.UnitsPerEpoch = 1<<64 - 1 }, argument, "rewards"},
		"epochs too rich":       {func(d *notaryv1.Genesis) { d.Rewards.UnitsPerEpoch = MaxSupply/1000 + 1 }, overflow, "rewards"},
		"one unit too many":     {func(d *notaryv1.Genesis) { d.Allocations[0].Amount++ }, overflow, "allocations"},
		"an allocation to wrap": {func(d *notaryv1.Genesis) { d.Allocations[0].Amount = 1<<64 - 1 }, overflow, "allocations"},
		"no seeds":              {func(d *notaryv1.Genesis) { d.Seeds = nil }, argument, "seeds.members"},
		"weight missing":        {func(d *notaryv1.Genesis) { d.Seeds[0].Weight-- }, argument, "seeds.members"},
	} {
		d := document()
		c.edit(d)
		_, err := MakeGenesis(d)
		var e *refusal.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := document()
	d.Allocations = append(d.Allocations, &notaryv1.Output{Address: gold[:], Product: gold[:], Amount: 1<<64 - 1, Kind: 1})
	if _, err := MakeGenesis(d); err != nil {
		t.Errorf("other products are not native coins: %v", err)
	}
	d.Rewards, d.Limits = nil, nil
	if _, err := MakeGenesis(d); err != nil {
		t.Errorf("without rewards and limits: %v", err)
	}
	if _, err := DecodeGenesis([]byte{0xff}); refusal.ReasonOf(err) != notaryv1.Reason_REASON_MALFORMED {
		t.Error(err)
	}
}

// TestGenesisPossession: every BLS key comes with its proof of possession, in the order of the seeds, and nothing
// else does.
func TestGenesisPossession(t *testing.T) {
	secrets := map[domain.PublicKey]bls.PrivateKey{}
	listed := func() *notaryv1.Genesis {
		d := document()
		for i := range d.Seeds[:2] {
			node := domain.NewPrivateKey([32]byte{byte(i)})
			key, secret := node.Public(), bls.Derive(node)
			public := secret.Public()
			secrets[key] = secret
			d.Seeds[i].Keys[0].Key, d.Seeds[i].Keys[0].BlsKey = key[:], public[:]
		}
		d.BlsPossessions = Possessions(d.Seeds, func(node domain.PublicKey) bls.Signature { return bls.Prove(secrets[node], node) })
		return d
	}
	g, err := MakeGenesis(listed())
	if err != nil {
		t.Fatal(err)
	}
	for key, secret := range secrets {
		i, _ := g.Group.Voter(key)
		public := secret.Public()
		if !bytes.Equal(g.Group.Voters()[i].BLS, public[:]) {
			t.Errorf("BLS key of %s: %x", key, g.Group.Voters()[i].BLS)
		}
	}
	for name, c := range map[string]struct {
		edit   func(*notaryv1.Genesis)
		reason notaryv1.Reason
		field  string
	}{
		"none":         {func(d *notaryv1.Genesis) { d.BlsPossessions = nil }, notaryv1.Reason_REASON_MISSING_FIELD, "bls_possessions[0]"},
		"one missing":  {func(d *notaryv1.Genesis) { d.BlsPossessions = d.BlsPossessions[:1] }, notaryv1.Reason_REASON_MISSING_FIELD, "bls_possessions[1]"},
		"an empty one": {func(d *notaryv1.Genesis) { d.BlsPossessions[1] = nil }, notaryv1.Reason_REASON_MALFORMED, "bls_possessions[1]"},
		"swapped": {func(d *notaryv1.Genesis) {
			d.BlsPossessions[0], d.BlsPossessions[1] = d.BlsPossessions[1], d.BlsPossessions[0]
		}, notaryv1.Reason_REASON_BAD_SIGNATURE, "bls_possessions[0]"},
		"forged":       {func(d *notaryv1.Genesis) { d.BlsPossessions[1][50] ^= 1 }, notaryv1.Reason_REASON_BAD_SIGNATURE, "bls_possessions[1]"},
		"one too many": {func(d *notaryv1.Genesis) { d.BlsPossessions = append(d.BlsPossessions, d.BlsPossessions[0]) }, notaryv1.Reason_REASON_INVALID_ARGUMENT, "bls_possessions[2]"},
		"a half one":   {func(d *notaryv1.Genesis) { d.BlsPossessions[1] = d.BlsPossessions[1][:48] }, notaryv1.Reason_REASON_MALFORMED, "bls_possessions[1]"},
	} {
		d := listed()
		c.edit(d)
		_, err := MakeGenesis(d)
		var e *refusal.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecodeGenesis: no crash, and the id is of the bytes that came.
func FuzzDecodeGenesis(f *testing.F) {
	g, err := MakeGenesis(document())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(g.Bytes)
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := DecodeGenesis(bytes.Clone(b))
		if err == nil && (g.ID != domain.Sum(domain.TagGenesis, b) || !bytes.Equal(g.Bytes, b)) {
			t.Fatalf("%x", b)
		}
	})
}
