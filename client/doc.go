// Package client speaks to a notary network: it builds, signs and submits transactions, follows them
// until they are final, and fetches and checks acceptance proofs.
//
//	c, err := client.Dial(ctx, "127.0.0.1:7310", client.WithGenesis(genesis))
//	sent, err := c.Send(ctx, client.NewAccount(key), client.Payment{To: shop, Amount: 5_000_000_000})
//	proof, err := c.Proof(ctx, sent.ID)      // fetched and verified here
//
// Whatever a node answers is checked where it can be: the network id against the genesis document,
// proofs against the group in it. Every call is idempotent and is repeated while the node is out of
// reach or overloaded, never sooner than the node asked for. Refusals are *Error values with a stable
// reason; errors.Is(err, refusal.Because(reason)) compares them.
package client
