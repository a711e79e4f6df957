package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// patience suits a person at a prompt: a node that does not come back within a second or so is down.
var patience = client.Retry{Attempts: 6, Base: 50 * time.Millisecond, Max: 500 * time.Millisecond, Patience: 5 * time.Second}

// runtime is the local devnet, as its runtime file describes it.
func (a *app) runtime() (*runtimefile.File, error) {
	path, err := runtimefile.PathIn(a.env)
	if err != nil {
		return nil, err
	}
	return runtimefile.Load(path)
}

// targets are the nodes to try, in order, and the network they must belong to; zero where the first
// contact decides. They are several only where none was named: any node of the local devnet will do.
func (a *app) targets(known *wallet.Networks) (nodes []string, network domain.Hash, err error) {
	local, err := a.runtime()
	if err != nil && a.node == "" {
		return nil, network, fmt.Errorf("no node: %w", err)
	}
	// The devnet's own file beats an older pin: a new devnet may use the ports of the last one.
	if local != nil {
		for _, n := range local.Nodes {
			if a.node == "" || a.node == n.API {
				nodes = append(nodes, n.API)
			}
		}
	}
	if len(nodes) > 0 {
		network, err = domain.ParseHash(local.NetworkID)
		return nodes, network, err
	}
	network, _, err = known.Pinned(a.node)
	return []string{a.node}, network, err
}

// connect dials the node. At the first contact it keeps the network's genesis document and says so.
func (a *app) connect(ctx context.Context) (*client.Client, error) {
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	known := store.Networks()
	nodes, network, err := a.targets(known)
	if err != nil {
		return nil, err
	}
	opts := []client.Option{client.WithRetry(patience), client.WithNetwork(network), client.WithClock(a.now), client.WithMemory(known)}
	creds, err := a.credentials()
	if err != nil {
		return nil, err
	}
	if creds != nil {
		opts = append(opts, client.WithTLS(creds))
	}
	c, node, err := dialFirst(ctx, nodes, append(opts, a.dial...))
	if err != nil {
		return nil, err
	}
	if err := a.remember(known, node, c.Genesis(), network.IsZero()); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// dialFirst connects to the first node that can be reached; the error is that of the last one tried.
func dialFirst(ctx context.Context, nodes []string, opts []client.Option) (c *client.Client, node string, err error) {
	for _, node = range nodes {
		c, err = client.Dial(ctx, node, opts...)
		if client.CodeOf(err) != codes.Unavailable {
			return c, node, err
		}
	}
	return nil, "", err
}

// remember keeps what the first contact showed.
func (a *app) remember(known *wallet.Networks, node string, g *group.Genesis, first bool) error {
	isNew, err := known.Add(g)
	if err != nil {
		return err
	}
	pinned, ok, err := known.Pinned(node)
	if err != nil {
		return err
	}
	if !ok || pinned != g.ID {
		if err := known.Pin(node, g.ID); err != nil {
			return err
		}
	}
	if isNew {
		a.tell("notary: network %s (%s) is trusted from now on; its genesis document is %s", g.Doc.GetName(), g.ID, known.Path(g.ID))
		if first {
			a.tell("notary: this was the first contact with %s: compare the network id with one from a source you trust", node)
		}
	}
	return nil
}

// credentials are nil where the connection is in the clear.
func (a *app) credentials() (credentials.TransportCredentials, error) {
	if !a.tls && a.tlsCA == "" {
		return nil, nil
	}
	config := &tls.Config{MinVersion: tls.VersionTLS13}
	if a.tlsCA != "" {
		pem, err := os.ReadFile(a.tlsCA)
		if err != nil {
			return nil, usage("--tls-ca: %v", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, usage("--tls-ca: no certificate in %s", a.tlsCA)
		}
	}
	return credentials.NewTLS(config), nil
}

// session is a connection and a deadline that end together.
func (a *app) session(ctx context.Context, do func(context.Context, *client.Client) error) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	c, err := a.connect(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(ctx, c), c.Close())
}

// addressPrefix is the prefix of addresses without a connection where that is possible: from the local
// devnet, or from the only network that is trusted.
func (a *app) addressPrefix(ctx context.Context) (string, error) {
	if a.node == "" {
		if local, err := a.runtime(); err == nil {
			return local.AddressPrefix, nil
		}
		store, err := a.store()
		if err != nil {
			return "", err
		}
		known, err := store.Networks().List()
		if err != nil {
			return "", err
		}
		if len(known) == 1 {
			return known[0].Doc.GetAddressPrefix(), nil
		}
	}
	var prefix string
	err := a.session(ctx, func(_ context.Context, c *client.Client) error {
		prefix = c.Genesis().Doc.GetAddressPrefix()
		return nil
	})
	return prefix, err
}
