package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// maxMessage bounds an answer: a proof may have 16 MiB.
const maxMessage = 17 << 20

// pingInterval is how long a connection with calls under way may be silent before it is probed. Nodes
// refuse pings that come more often than every 10 seconds.
const pingInterval = 30 * time.Second

// Client is a connection to one node of a known network. It is safe for concurrent use.
type Client struct {
	conn    *grpc.ClientConn
	api     notaryv1.NotaryServiceClient
	retry   Retry
	now     func() time.Time
	genesis *group.Genesis
	known   known
	// maxCoins is among how many coins a payment chooses at the most.
	maxCoins int
}

// Option changes how Dial connects and what it expects.
type Option func(*options)

type options struct {
	creds   credentials.TransportCredentials
	dial    []grpc.DialOption
	retry   Retry
	network domain.Hash
	now     func() time.Time
	memory  Memory
}

// WithTLS connects with transport security. Without it the connection is in the clear, which suits a
// node on this machine: what a node says is checked, but anyone on the way can read along.
func WithTLS(creds credentials.TransportCredentials) Option {
	return func(o *options) { o.creds = creds }
}

// WithNetwork refuses a node of any other network.
func WithNetwork(id domain.Hash) Option { return func(o *options) { o.network = id } }

// WithGenesis refuses a node of any network but that of a genesis document.
func WithGenesis(g *group.Genesis) Option { return WithNetwork(g.ID) }

// WithRetry replaces DefaultRetry.
func WithRetry(r Retry) Option { return func(o *options) { o.retry = r } }

// WithClock replaces the machine's clock, by which validity windows are set and time locks judged.
func WithClock(now func() time.Time) Option { return func(o *options) { o.now = now } }

// WithDialOptions hands options to grpc, such as a dialer.
func WithDialOptions(opts ...grpc.DialOption) Option {
	return func(o *options) { o.dial = append(o.dial, opts...) }
}

// Dial connects to the node at target (host:port), asks it for its network, and checks the answer: the
// genesis document must hash to the network id, and to the one expected where WithNetwork or
// WithGenesis said so. Without them the first answer is believed: keep Genesis and expect it next time.
func Dial(ctx context.Context, target string, opts ...Option) (*Client, error) {
	o := options{creds: insecure.NewCredentials(), retry: DefaultRetry, now: time.Now}
	for _, opt := range opts {
		opt(&o)
	}
	if err := o.retry.Validate(); err != nil {
		return nil, err
	}
	dial := append([]grpc.DialOption{
		grpc.WithTransportCredentials(o.creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithDisableServiceConfig(),
		grpc.WithDisableRetry(), // one place decides when to repeat
		// A node that vanishes without a word must not leave a stream silent for ever.
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: 10 * time.Second}),
	}, o.dial...)
	conn, err := grpc.NewClient(target, dial...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", target, err)
	}
	c := &Client{conn: conn, api: notaryv1.NewNotaryServiceClient(conn), retry: o.retry, now: o.now, known: known{memory: o.memory}, maxCoins: maxCoins}
	if err := c.meet(ctx, o.network); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to %s: %w", target, err), conn.Close())
	}
	return c, nil
}

// Close ends the connection.
func (c *Client) Close() error { return c.conn.Close() }

// API is the bare service, for calls that this package does not wrap. Errors are grpc's own there.
func (c *Client) API() notaryv1.NotaryServiceClient { return c.api }

// Genesis is the network that the node belongs to, as checked by Dial.
func (c *Client) Genesis() *group.Genesis { return c.genesis }

// meet learns the network and checks it.
func (c *Client) meet(ctx context.Context, want domain.Hash) error {
	answer, err := c.Network(ctx)
	if err != nil {
		return err
	}
	g, err := checkNetwork(answer)
	if err != nil {
		return err
	}
	if !want.IsZero() && g.ID != want {
		return wrongNetwork("the node belongs to network %s (%s), expected was %s", g.ID, g.Doc.Name, want)
	}
	c.genesis = g
	return c.known.begin(g)
}

// Network asks the node about itself and its network as they are now. Its network id is compared with
// the one known since Dial.
func (c *Client) Network(ctx context.Context) (*notaryv1.GetNetworkResponse, error) {
	answer, err := call(ctx, c, c.api.GetNetwork, &notaryv1.GetNetworkRequest{})
	if err != nil {
		return nil, err
	}
	if c.genesis != nil && string(answer.GetNetworkId()) != string(c.genesis.ID[:]) {
		return nil, wrongNetwork("the node now says network %x, before it was %s", answer.GetNetworkId(), c.genesis.ID)
	}
	return answer, nil
}

// checkNetwork believes a node's description of its network only where the parts agree.
func checkNetwork(answer *notaryv1.GetNetworkResponse) (*group.Genesis, error) {
	g, err := group.DecodeGenesis(answer.GetGenesis())
	if err != nil {
		return nil, refusal.Under("genesis", err)
	}
	if string(answer.GetNetworkId()) != string(g.ID[:]) {
		return nil, wrongNetwork("the node says network %x, but its genesis document hashes to %s", answer.GetNetworkId(), g.ID)
	}
	if answer.GetAddressPrefix() != g.Doc.GetAddressPrefix() {
		return nil, wrongNetwork("the node says address prefix %q, but its genesis document %q", answer.GetAddressPrefix(), g.Doc.GetAddressPrefix())
	}
	return g, nil
}

func wrongNetwork(format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "network_id", format, args...)
}
