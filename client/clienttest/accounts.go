package clienttest

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// WatchAcceptances gives what is final from the cursor on and ends the stream as a broken one does when
// it has given three, so that clients show how they resume.
func (n *Network) WatchAcceptances(req *notaryv1.WatchAcceptancesRequest, stream grpc.ServerStreamingServer[notaryv1.WatchAcceptancesResponse]) error {
	n.mu.Lock()
	from, err := strconv.Atoi(cmp.Or(req.GetCursor(), strconv.Itoa(len(n.log))))
	n.mu.Unlock()
	if err != nil {
		return refuse(refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "cursor", "not a number"), nil)
	}
	for i := from; ; i++ {
		n.mu.Lock()
		end := i >= len(n.log)
		var m *notaryv1.WatchAcceptancesResponse
		if !end {
			id := n.log[i]
			m = &notaryv1.WatchAcceptancesResponse{Cursor: strconv.Itoa(i + 1), TransactionId: id[:]}
			if req.GetWithProofs() {
				p, err := n.linked(n.records[id].proof, req.GetKnownEpoch())
				if err != nil {
					n.mu.Unlock()
					return err
				}
				m.Proof = p.Encode()
			}
		}
		n.mu.Unlock()
		switch {
		case end:
			return n.idle(stream)
		case i-from == 3:
			return Down()
		}
		if err := stream.Send(m); err != nil {
			return err
		}
	}
}

// WatchAddress gives what final transactions did to an address, from the cursor on.
func (n *Network) WatchAddress(req *notaryv1.WatchAddressRequest, stream grpc.ServerStreamingServer[notaryv1.WatchAddressResponse]) error {
	n.mu.Lock()
	events, err := n.history(req.GetAddress())
	n.mu.Unlock()
	if err != nil {
		return err
	}
	from, err := strconv.Atoi(cmp.Or(req.GetCursor(), strconv.Itoa(len(events))))
	if err != nil || from > len(events) {
		return refuse(refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "cursor", "not a place in the log"), nil)
	}
	for _, m := range events[from:] {
		if err := stream.Send(m); err != nil {
			return err
		}
	}
	return n.idle(stream)
}

// idle keeps a stream open that has nothing more to say, until the client ends it or BreakStreams breaks it.
func (n *Network) idle(stream grpc.ServerStream) error {
	if err := stream.SendHeader(metadata.MD{}); err != nil && stream.Context().Err() != nil {
		return stream.Context().Err()
	} // else they went out with the first element
	n.mu.Lock()
	broken := n.broken
	n.idling++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		n.idling--
		n.mu.Unlock()
	}()
	select {
	case <-stream.Context().Done():
		return stream.Context().Err()
	case <-broken:
		return Down()
	}
}

// Idling is how many streams of WatchAcceptances and WatchAddress wait for what comes next.
func (n *Network) Idling() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.idling
}

// BreakStreams ends these streams as a lost connection does.
func (n *Network) BreakStreams() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.broken)
	n.broken = make(chan struct{})
}

// history is all that happened to an address since genesis. The lock is held.
func (n *Network) history(text string) ([]*notaryv1.WatchAddressResponse, error) {
	address, err := utxo.ParseAddress(n.Genesis.Doc.GetAddressPrefix(), text)
	if err != nil {
		return nil, refuse(err, nil)
	}
	var events []*notaryv1.WatchAddressResponse
	add := func(r *record, o utxo.Outpoint, spent bool) error {
		e, known := n.set.Lookup(o)
		if !known || e.Output.Address != address {
			return nil
		}
		unspent, err := unspentOutput(o, e)
		events = append(events, &notaryv1.WatchAddressResponse{
			Cursor: strconv.Itoa(len(events) + 1), TransactionId: r.tx.ID[:], Output: unspent, Spent: spent,
		})
		return err
	}
	for _, id := range n.log {
		r := n.records[id]
		for _, o := range r.tx.Spends() {
			if err := add(r, o, true); err != nil {
				return nil, err
			}
		}
		for i := range r.tx.Outputs {
			if err := add(r, utxo.Outpoint{Tx: id, Index: uint32(i)}, false); err != nil {
				return nil, err
			}
		}
	}
	return events, nil
}

func unspentOutput(o utxo.Outpoint, e utxo.Entry) (*notaryv1.UnspentOutput, error) {
	var out notaryv1.Output
	if err := proto.Unmarshal(e.Output.AppendTo(nil), &out); err != nil {
		return nil, err
	}
	return &notaryv1.UnspentOutput{
		Outpoint: &notaryv1.Outpoint{Transaction: o.Tx[:], Index: o.Index}, Output: &out, FinalMs: e.FinalMS,
	}, nil
}

// owned are the live outputs of an address, by outpoint. The lock is held.
func (n *Network) owned(text string) ([]utxo.Outpoint, error) {
	address, err := utxo.ParseAddress(n.Genesis.Doc.GetAddressPrefix(), text)
	if err != nil {
		return nil, refuse(err, nil)
	}
	return slices.DeleteFunc(n.set.Live(), func(o utxo.Outpoint) bool {
		e, _ := n.set.Lookup(o)
		return e.Output.Address != address
	}), nil
}

// ListUnspent gives pages of at most two, so that clients show how they page.
func (n *Network) ListUnspent(_ context.Context, req *notaryv1.ListUnspentRequest) (*notaryv1.ListUnspentResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list, err := n.owned(req.GetAddress())
	if err != nil {
		return nil, err
	}
	from, err := strconv.Atoi(cmp.Or(req.GetPageToken(), "0"))
	if err != nil || from > len(list) {
		return nil, refuse(refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "not a place in the list"), nil)
	}
	to := min(from+2, len(list))
	answer := &notaryv1.ListUnspentResponse{}
	for _, o := range list[from:to] {
		e, _ := n.set.Lookup(o)
		unspent, err := unspentOutput(o, e)
		if err != nil {
			return nil, err
		}
		answer.Outputs = append(answer.Outputs, unspent)
	}
	if to < len(list) {
		answer.NextPageToken = strconv.Itoa(to)
	}
	if n.faults.Unspent != nil {
		n.faults.Unspent(answer)
	}
	return answer, nil
}

// GetBalance sums by product.
func (n *Network) GetBalance(_ context.Context, req *notaryv1.GetBalanceRequest) (*notaryv1.GetBalanceResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list, err := n.owned(req.GetAddress())
	if err != nil {
		return nil, err
	}
	sums := map[utxo.Product]*notaryv1.ProductBalance{}
	for _, o := range list {
		e, _ := n.set.Lookup(o)
		p := e.Output.Product
		b, ok := sums[p]
		if !ok {
			b = &notaryv1.ProductBalance{Info: n.infos[p]}
			if !p.IsZero() {
				b.Product = p[:]
			}
			sums[p] = b
		}
		b.Amount += e.Output.Amount
		b.Outputs++
	}
	answer := &notaryv1.GetBalanceResponse{}
	for _, b := range sums {
		answer.Balances = append(answer.Balances, b)
	}
	slices.SortFunc(answer.Balances, func(a, b *notaryv1.ProductBalance) int { return slices.Compare(a.Product, b.Product) })
	return answer, nil
}
