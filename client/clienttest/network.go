package clienttest

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/test/bufconn"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Nodes is the number of voting keys.
const Nodes = 4

// Network is the whole network: its group, its ledger, and one service that speaks for it.
type Network struct {
	notaryv1.UnimplementedNotaryServiceServer

	Genesis *group.Genesis

	keys   []domain.PrivateKey
	server *grpc.Server
	memory *bufconn.Listener

	mu      sync.Mutex
	faults  Faults
	now     func() uint64
	set     utxo.Set
	records map[domain.Hash]*record
	refused map[domain.Hash]*record // never taken over
	claims  map[utxo.Outpoint]domain.Hash
	infos   map[utxo.Product]*notaryv1.ProductInfo
	heads   []observation.Head
	group   *group.Group // of the present epoch
	holds   observation.GroupOutput
	links   []*observation.Link
	log     []domain.Hash // final transactions, in order
	calls   map[string]int
	idling  int           // streams that wait for what comes next
	broken  chan struct{} // closed to break them
}

// record is one transaction and what became of it.
type record struct {
	tx     *utxo.Tx
	status *notaryv1.TransactionStatus
	proof  *observation.Proof
}

// Grant is an output of the genesis document.
type Grant struct {
	To utxo.Address
	// Units of the native coin.
	Units uint64
	// NotBeforeMS locks it until an instant, Unix milliseconds.
	NotBeforeMS uint64
}

// New makes a network of a name and serves it in memory until Close.
func New(name string, grants ...Grant) (*Network, error) {
	n := &Network{
		now:     func() uint64 { return uint64(time.Now().UnixMilli()) },
		records: map[domain.Hash]*record{},
		refused: map[domain.Hash]*record{},
		claims:  map[utxo.Outpoint]domain.Hash{},
		infos:   map[utxo.Product]*notaryv1.ProductInfo{},
		calls:   map[string]int{},
		broken:  make(chan struct{}),
	}
	for i := range Nodes {
		n.keys = append(n.keys, domain.NewPrivateKey(domain.Sum("clienttest", []byte(name), []byte{byte(i)})))
	}
	var err error
	if n.Genesis, err = n.genesis(name, grants); err != nil {
		return nil, err
	}
	n.group, n.holds = n.Genesis.Group, genesisOutput(n.Genesis)
	delta, err := utxo.GenesisDelta(n.Genesis)
	if err != nil {
		return nil, err
	}
	if err := n.set.Apply(delta, n.Genesis.Doc.GetTimeMs()); err != nil {
		return nil, err
	}
	for _, k := range n.keys {
		n.heads = append(n.heads, observation.Head{Key: k.Public()})
	}
	n.server = grpc.NewServer(grpc.UnaryInterceptor(n.guardUnary), grpc.StreamInterceptor(n.guardStream))
	notaryv1.RegisterNotaryServiceServer(n.server, n)
	n.memory = bufconn.Listen(1 << 20)
	go n.server.Serve(n.memory) // ends with Close
	return n, nil
}

func (n *Network) genesis(name string, grants []Grant) (*group.Genesis, error) {
	doc := &notaryv1.Genesis{Name: name, AddressPrefix: "ntest", TimeMs: 1_700_000_000_000}
	for _, k := range n.keys {
		public := k.Public()
		peer := domain.Sum(domain.TagPeer, public[:])
		doc.Seeds = append(doc.Seeds, &notaryv1.Member{
			PeerId: peer[:],
			Weight: uint64(group.Total / Nodes),
			Keys:   []*notaryv1.NodeKey{{Key: public[:]}},
		})
	}
	slices.SortFunc(doc.Seeds, func(a, b *notaryv1.Member) int { return slices.Compare(a.PeerId, b.PeerId) })
	for _, g := range grants {
		doc.Allocations = append(doc.Allocations, &notaryv1.Output{
			Address: g.To[:], Amount: g.Units, Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, NotBeforeMs: g.NotBeforeMS,
		})
	}
	return group.MakeGenesis(doc)
}

// Serve serves the network on one more listener, until Close.
func (n *Network) Serve(l net.Listener) error { return n.server.Serve(l) }

// Dialer connects to the network in memory, whatever the address.
func (n *Network) Dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
		return n.memory.DialContext(ctx)
	})
}

// Target is an address to dial with Dialer: nothing is resolved.
const Target = "passthrough:///clienttest"

// Close ends all connections.
func (n *Network) Close() { n.server.Stop() }

// Live reports whether an outpoint exists and is not spent.
func (n *Network) Live(o utxo.Outpoint) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	e, ok := n.set.Lookup(o)
	return ok && e.SpentBy.IsZero()
}

// Calls is how often a method, such as "SubmitTransaction", was called.
func (n *Network) Calls(method string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.calls[method]
}

// SetNow replaces the network's clock, in Unix milliseconds.
func (n *Network) SetNow(now func() uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.now = now
}

// settle makes a transaction final: its outputs replace its inputs, and the signers vote. The lock is
// held.
func (n *Network) settle(r *record) error {
	if r.status.State == notaryv1.TransactionState_TRANSACTION_STATE_FINAL {
		return nil
	}
	nowMS := n.now()
	delta, err := utxo.Validate(r.tx, &n.set, utxo.Moment{NowMS: nowMS, IgnoreWindow: true})
	if err != nil {
		return err
	}
	if err := n.set.Apply(delta, nowMS); err != nil {
		return err
	}
	if r.proof, err = n.vote(r.tx, nowMS); err != nil {
		return err
	}
	for _, c := range delta.Created {
		if d := c.Output.Data; d != nil && d.Kind == notaryv1.DataKind_DATA_KIND_PRODUCT_INFO {
			if n.infos[c.Output.Product], err = utxo.DecodeProductInfo(d.Payload); err != nil {
				return err
			}
		}
	}
	weight := uint64(n.signers()) * uint64(group.Total/Nodes)
	r.status.State = notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	r.status.PendingWeight, r.status.AcceptedWeight, r.status.FinalMs = weight, weight, nowMS
	r.status.OwnWeight, r.status.OwnThreshold = n.faults.OwnWeight, n.faults.OwnThreshold
	r.status.Held = n.faults.OwnWeight < n.faults.OwnThreshold
	n.log = append(n.log, r.tx.ID)
	return nil
}

// vote is the proof of a transaction by those who sign.
func (n *Network) vote(tx *utxo.Tx, nowMS uint64) (*observation.Proof, error) {
	return n.sign(tx.ID, tx.Raw, nowMS, n.signers())
}

// sign seals one observation for each signer, with some other leaf beside the vote so that paths are not
// empty, and builds the proof.
func (n *Network) sign(id domain.Hash, raw []byte, nowMS uint64, signers int) (*observation.Proof, error) {
	var edges []observation.Edge
	for i := range signers {
		// Each node states a time of its own, so that spreads are not zero.
		timeMS := nowMS + uint64(i)
		leaves := []observation.Leaf{
			{Subject: id, Type: observation.SubjectTx, State: observation.Pending, TimeMS: timeMS},
			{Subject: id, Type: observation.SubjectTx, State: observation.Accepted, TimeMS: timeMS},
		}
		o := observation.Seal(n.heads[i], n.group, leaves, timeMS).Sign(n.keys[i])
		n.heads[i] = o.Head()
		edges = append(edges, o.Edge(1))
	}
	return observation.BuildProof(n.group, nil, []observation.Item{{ID: id, Raw: raw, Edges: edges}})
}
