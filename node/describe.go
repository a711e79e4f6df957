package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/node/store"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Network tells of the network and this node.
func (n *Node) Network(ctx context.Context) (*notaryv1.GetNetworkResponse, error) {
	sh := n.sh
	counts := sh.store.Counts()
	heard, err := sh.heard(ctx)
	if err != nil {
		return nil, err
	}
	link := sh.group().Link()
	snapshots := sh.snapshots()
	return &notaryv1.GetNetworkResponse{
		Snapshots: snapshots,
		NetworkId: sh.genesis.ID[:], Name: sh.genesis.Doc.Name, AddressPrefix: sh.genesis.Doc.AddressPrefix,
		Genesis: sh.genesis.Bytes, GroupEpoch: sh.group().Epoch(), Link: link[:], Group: sh.group().Bytes(),
		NodeKey: sh.self[:], NodeWeight: uint64(sh.group().Share(sh.self)), OnlineWeight: uint64(heard.weight),
		Version: n.version, TimeMs: nowMS(), FinalTransactions: counts.Finals, LiveOutputs: counts.LiveOutputs,
		ConnectedPeers: uint32(len(sh.net.Peers())), CatchUp: sh.catchUp(),
	}, nil
}

// heard asks the observer whom it has heard of.
func (sh *shell) heard(ctx context.Context) (hearing, error) {
	if err := sh.begun(ctx); err != nil {
		return hearing{}, err
	}
	reply := make(chan hearing, 1)
	select {
	case sh.observer.hearing <- reply:
		return <-reply, nil
	case <-ctx.Done():
		return hearing{}, ctx.Err()
	case <-sh.ctx.Done():
		return hearing{}, shuttingDown()
	}
}

// Unspent lists live outputs of an address. pay is told what was read for each.
func (n *Node) Unspent(_ context.Context, address, pageToken string, limit int, pay func(bytes int) error) ([]*notaryv1.UnspentOutput, string, error) {
	addr, err := n.address(address)
	if err != nil {
		return nil, "", err
	}
	token, err := hex.DecodeString(pageToken)
	if err != nil {
		return nil, "", refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "not a token of this list")
	}
	page, next, err := n.sh.store.Unspent(addr, token, limit)
	if errors.Is(err, store.ErrBadToken) {
		return nil, "", refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "not a token of this list")
	}
	if err != nil {
		return nil, "", err
	}
	out := make([]*notaryv1.UnspentOutput, len(page))
	for i, u := range page {
		if err := pay(u.Read); err != nil {
			return nil, "", err
		}
		out[i] = unspent(u.Outpoint, u.Output, u.FinalMS)
	}
	return out, hex.EncodeToString(next), nil
}

func unspent(o utxo.Outpoint, out utxo.Output, finalMS uint64) *notaryv1.UnspentOutput {
	u := &notaryv1.UnspentOutput{
		Outpoint: &notaryv1.Outpoint{Transaction: o.Tx[:], Index: o.Index}, Output: new(notaryv1.Output), FinalMs: finalMS,
	}
	if err := proto.Unmarshal(out.AppendTo(nil), u.Output); err != nil {
		panic(fmt.Sprintf("node: a stored output does not decode: %v", err))
	}
	return u
}

// Balance sums the live outputs of an address by product, the native coin first. pay is told what is read for it, in bytes.
func (n *Node) Balance(_ context.Context, address string, pay func(bytes int) error) ([]*notaryv1.ProductBalance, error) {
	addr, err := n.address(address)
	if err != nil {
		return nil, err
	}
	sums, err := n.sh.store.Balance(addr, pay)
	if err != nil {
		return nil, err
	}
	out := make([]*notaryv1.ProductBalance, len(sums))
	for i, s := range sums {
		out[i] = &notaryv1.ProductBalance{Amount: s.Amount, Outputs: s.Outputs}
		if s.Product.IsZero() {
			continue
		}
		out[i].Product = s.Product[:]
		if out[i].Info, _, err = n.sh.store.ProductInfo(s.Product); err != nil {
			return nil, err
		}
	}
	return out, nil
}
