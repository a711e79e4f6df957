package observation_test

import (
	"bytes"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// forgery is one way to spoil a good proof, with the part that a verifier must name.
type forgery struct {
	name   string
	change func(p *notaryv1.AcceptanceProof)
	reason notaryv1.Reason
	field  string
}

// twoTransactions is a proof of two transactions by three of four peers; both leaves of a peer lie in one
// observation.
func twoTransactions() (*kit.Network, *observation.Proof) {
	net := kit.New("test", kit.Equal(4)...)
	a, b := net.Spend("first", 0), net.Spend("second", 1)
	items := []observation.Item{{ID: a.ID, Raw: a.Raw}, {ID: b.ID, Round: 2}}
	for i, s := range net.Signers[:3] {
		timeMS := kit.StartMS + 1000 + uint64(10*i)
		o := s.Observe(net.Group, timeMS+5,
			kit.Vote(a.ID, observation.Pending, 0, timeMS),
			kit.Vote(a.ID, observation.Accepted, 0, timeMS+1),
			kit.Vote(b.ID, observation.Accepted, 2, timeMS+2))
		items[0].Edges = append(items[0].Edges, o.Edge(1))
		items[1].Edges = append(items[1].Edges, o.Edge(2))
	}
	return net, must(observation.BuildProof(net.Group, nil, items))
}

// forge applies a change to a proof and encodes the result.
func forge(p *observation.Proof, change func(*notaryv1.AcceptanceProof)) []byte {
	m := proto.Clone(p.Message()).(*notaryv1.AcceptanceProof)
	change(m)
	return must(canonical.Marshal(m))
}

func flip(b []byte) { b[len(b)/2] ^= 0x10 }

// forgeries spoil twoTransactions. Each is an encoding that reads well; what is wrong is what it says.
func forgeries() []forgery {
	const (
		invalid      = notaryv1.Reason_REASON_INVALID_ARGUMENT
		nonCanonical = notaryv1.Reason_REASON_NON_CANONICAL
		badSignature = notaryv1.Reason_REASON_BAD_SIGNATURE
		absent       = notaryv1.Reason_REASON_MISSING_FIELD
	)
	type proof = notaryv1.AcceptanceProof
	return []forgery{
		{"network absent", func(p *proof) { p.Network = nil }, absent, "network"},
		{"network", func(p *proof) { flip(p.Network) }, notaryv1.Reason_REASON_WRONG_NETWORK, "network"},
		{"group epoch", func(p *proof) { p.GroupEpoch = 1 }, invalid, "group_epoch"},
		{"link absent", func(p *proof) { p.Link = nil }, absent, "link"},
		{"link", func(p *proof) { flip(p.Link) }, invalid, "link"},
		{"links", func(p *proof) { p.Links = [][]byte{{1}} }, notaryv1.Reason_REASON_MALFORMED, "links[0]"},

		{"key of another", func(p *proof) { p.Observations[2].KeyIndex = 3 }, badSignature, "observations[2].signature"},
		{"key of nobody", func(p *proof) { p.Observations[2].KeyIndex = 4 }, invalid, "observations[2].key_index"},
		{"signing epoch", func(p *proof) { p.Observations[1].SigningEpoch = 2 }, invalid, "observations[1].signing_epoch"},
		{"height", func(p *proof) {
			p.Observations[1].Height = 2
			p.Observations[1].Previous = bytes.Repeat([]byte{1}, 32)
		}, badSignature, "observations[1].signature"},
		{"height absent", func(p *proof) { p.Observations[1].Height = 0 }, invalid, "observations[1].height"},
		{"previous at the first height", func(p *proof) { p.Observations[0].Previous = bytes.Repeat([]byte{1}, 32) }, invalid, "observations[0].previous"},
		{"previous of zeros", func(p *proof) { p.Observations[0].Previous = make([]byte, 32) }, nonCanonical, "observations[0].previous"},
		{"root", func(p *proof) { flip(p.Observations[1].Root) }, badSignature, "observations[1].signature"},
		{"root absent", func(p *proof) { p.Observations[1].Root = nil }, absent, "observations[1].root"},
		{"leaf count", func(p *proof) { p.Observations[0].LeafCount = 4 }, badSignature, "observations[0].signature"},
		{"leaf count below the leaf", func(p *proof) { p.Observations[0].LeafCount = 2 }, invalid, "transactions[0].edges[0].leaf_index"},
		{"leaf count above all", func(p *proof) { p.Observations[0].LeafCount = 20_001 }, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "observations[0].leaf_count"},
		{"header time", func(p *proof) { p.Observations[2].TimeMs++ }, badSignature, "observations[2].signature"},
		{"signature", func(p *proof) { flip(p.Observations[1].Signature) }, badSignature, "observations[1].signature"},
		{"signature absent", func(p *proof) { p.Observations[1].Signature = nil }, absent, "observations[1].signature"},
		{"observations out of order", func(p *proof) {
			p.Observations[0], p.Observations[1] = p.Observations[1], p.Observations[0]
		}, nonCanonical, "observations[1]"},
		{"observation twice", func(p *proof) {
			p.Observations = append(p.Observations[:1:1], p.Observations...)
		}, nonCanonical, "observations[1]"},
		{"idle observation", func(p *proof) {
			o := proto.Clone(p.Observations[2]).(*notaryv1.ProofObservation)
			o.KeyIndex = 3
			p.Observations = append(p.Observations, o)
		}, nonCanonical, "observations[3]"},

		{"no transactions", func(p *proof) { p.Transactions, p.Observations = nil, nil }, absent, "transactions"},
		{"transaction id absent", func(p *proof) { p.Transactions[0].TransactionId = nil }, absent, "transactions[0].transaction_id"},
		{"transactions out of order", func(p *proof) {
			p.Transactions[0], p.Transactions[1] = p.Transactions[1], p.Transactions[0]
		}, nonCanonical, "transactions[1].transaction_id"},
		{"transaction twice", func(p *proof) { p.Transactions[1] = p.Transactions[0] }, nonCanonical, "transactions[1].transaction_id"},
		{"another transaction", func(p *proof) { body(p)[40] ^= 1 }, invalid, "transactions[?].transaction"},
		{"transaction is no transaction", func(p *proof) { carrying(p).Transaction = []byte{0x18, 1} }, nonCanonical, "transactions[?].transaction"},
		{"another id", func(p *proof) { without(p).TransactionId[31] ^= 1 }, invalid, "transactions[!].edges[0].path"},
		{"another round", func(p *proof) { p.Transactions[0].Round++ }, invalid, "transactions[0].edges[0].path"},
		{"no edges", func(p *proof) { p.Transactions[0].Edges = nil }, absent, "transactions[0].edges"},
		{"edge to nothing", func(p *proof) { p.Transactions[1].Edges[2].Observation = 3 }, invalid, "transactions[1].edges[2].observation"},
		{"edges out of order", func(p *proof) {
			e := p.Transactions[0].Edges
			e[0], e[1] = e[1], e[0]
		}, nonCanonical, "transactions[0].edges[1].observation"},
		{"edge twice", func(p *proof) {
			p.Transactions[0].Edges = append(p.Transactions[0].Edges, p.Transactions[0].Edges[2])
		}, nonCanonical, "transactions[0].edges[3].observation"},
		{"leaf index", func(p *proof) { p.Transactions[0].Edges[1].LeafIndex = 0 }, invalid, "transactions[0].edges[1].path"},
		{"leaf index outside", func(p *proof) { p.Transactions[0].Edges[1].LeafIndex = 3 }, invalid, "transactions[0].edges[1].leaf_index"},
		{"leaf time", func(p *proof) { p.Transactions[0].Edges[2].LeafTimeMs++ }, invalid, "transactions[0].edges[2].path"},
		{"path", func(p *proof) { flip(p.Transactions[1].Edges[0].Path) }, invalid, "transactions[1].edges[0].path"},
		{"path too short", func(p *proof) { p.Transactions[1].Edges[0].Path = nil }, invalid, "transactions[1].edges[0].path"},
		{"path too long", func(p *proof) {
			e := p.Transactions[1].Edges[0]
			e.Path = append(e.Path, make([]byte, 32)...)
		}, invalid, "transactions[1].edges[0].path"},
		{"path of part of a node", func(p *proof) {
			e := p.Transactions[1].Edges[0]
			e.Path = e.Path[:len(e.Path)-1]
		}, notaryv1.Reason_REASON_MALFORMED, "transactions[1].edges[0].path"},
	}
}

// carrying is the transaction that comes with its bytes, without the other one.
func carrying(p *notaryv1.AcceptanceProof) *notaryv1.ProvenTransaction {
	if len(p.Transactions[0].Transaction) > 0 {
		return p.Transactions[0]
	}
	return p.Transactions[1]
}

func without(p *notaryv1.AcceptanceProof) *notaryv1.ProvenTransaction {
	if len(p.Transactions[0].Transaction) > 0 {
		return p.Transactions[1]
	}
	return p.Transactions[0]
}

// body is the transaction's bytes from its body on; the network id stands first in it.
func body(p *notaryv1.AcceptanceProof) []byte { return carrying(p).Transaction }

// where fills in the positions of the transactions that "?" and "!" stand for.
func where(p *observation.Proof, field string) string {
	with, other := "0", "1"
	if len(p.Transactions[0].Raw) == 0 {
		with, other = "1", "0"
	}
	return string(bytes.ReplaceAll(bytes.ReplaceAll([]byte(field), []byte("?"), []byte(with)), []byte("!"), []byte(other)))
}

// twiceTheKey is a proof in which one node key counts twice, through two observations at one height.
func twiceTheKey() (*kit.Network, []byte) {
	net := kit.New("test", kit.Equal(4)...)
	tx := net.Spend("paid", 0)
	item := observation.Item{ID: tx.ID, Edges: net.Accept(tx.ID, observation.Accepted, 0, 2, 1)}
	p := must(observation.BuildProof(net.Group, nil, []observation.Item{item}))
	second := net.Signers[1].Observe(net.Group, kit.StartMS+2000, kit.Vote(tx.ID, observation.Accepted, 0, kit.StartMS+1999))
	h := second.Header
	return net, forge(p, func(m *notaryv1.AcceptanceProof) {
		m.Observations = append(m.Observations, &notaryv1.ProofObservation{
			KeyIndex: 1, SigningEpoch: 1, Height: h.Height, Previous: h.Previous[:], Root: h.Root[:],
			LeafCount: 1, TimeMs: h.TimeMS, Signature: second.Signature[:],
		})
		m.Transactions[0].Edges = append(m.Transactions[0].Edges, &notaryv1.Edge{Observation: 2, LeafTimeMs: kit.StartMS + 1999})
	})
}

// verify decodes and verifies a canonical proof with the group of a network as root.
func verify(net *kit.Network, raw []byte) (observation.Verdict, error) {
	p, err := observation.DecodeProof(raw, observation.Limits{})
	if err != nil {
		return observation.Verdict{}, err
	}
	return p.Verify(observation.NewRoot(net.Group))
}

var zeroHash domain.Hash
