package clienttest

import (
	"context"
	"io"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// GetNetwork implements notaryv1.NotaryServiceServer, as all methods below.
func (n *Network) GetNetwork(context.Context, *notaryv1.GetNetworkRequest) (*notaryv1.GetNetworkResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	g := n.Genesis
	link, key := n.group.Link(), n.keys[0].Public()
	answer := &notaryv1.GetNetworkResponse{
		NetworkId:         g.ID[:],
		Name:              g.Doc.GetName(),
		AddressPrefix:     g.Doc.GetAddressPrefix(),
		Genesis:           g.Bytes,
		Link:              link[:],
		GroupEpoch:        n.group.Epoch(),
		Group:             n.group.Bytes(),
		NodeKey:           key[:],
		NodeWeight:        uint64(group.Total / Nodes),
		OnlineWeight:      uint64(n.signers()) * uint64(group.Total/Nodes),
		Version:           "clienttest",
		TimeMs:            n.now(),
		FinalTransactions: uint64(len(n.log)),
		LiveOutputs:       uint64(len(n.set.Live())),
		ConnectedPeers:    Nodes - 1,
	}
	if n.faults.Network != nil {
		n.faults.Network(answer)
	}
	return answer, nil
}

// take validates a transaction and keeps it. The lock is held.
func (n *Network) take(raw []byte) (*record, error) {
	tx, err := utxo.Decode(raw, utxo.Rules{Network: n.Genesis.ID})
	if err != nil {
		return nil, refuse(err, nil)
	}
	if r, ok := n.records[tx.ID]; ok {
		return r, nil
	}
	status := &notaryv1.TransactionStatus{
		TransactionId: tx.ID[:],
		State:         notaryv1.TransactionState_TRANSACTION_STATE_VALID,
		QuorumWeight:  uint64(group.QuorumWeight),
		ReceivedMs:    n.now(),
	}
	r := &record{tx: tx, status: status}
	if _, err := utxo.ValidateSigned(tx, &n.set, utxo.Moment{NowMS: n.now()}); err != nil {
		n.refused[tx.ID] = r
		return nil, refuse(err, status)
	}
	for _, o := range tx.Spends() {
		if rival, taken := n.claims[o]; taken {
			n.refused[tx.ID] = r
			return nil, refuse(refusal.New(notaryv1.Reason_REASON_DOUBLE_SPEND, "inputs", "%s spends %s", rival, o), status)
		}
	}
	n.records[tx.ID] = r
	for _, o := range tx.Spends() {
		n.claims[o] = tx.ID
	}
	return r, nil
}

// advance moves a transaction one step on its way and reports whether it moved. The lock is held.
func (n *Network) advance(r *record) (bool, error) {
	s := r.status
	share := uint64(group.Total / Nodes)
	switch s.State {
	case notaryv1.TransactionState_TRANSACTION_STATE_VALID:
		s.State, s.PendingWeight = notaryv1.TransactionState_TRANSACTION_STATE_PENDING, share
		return true, nil
	case notaryv1.TransactionState_TRANSACTION_STATE_PENDING:
		switch {
		case n.faults.Stuck:
			return false, nil
		case n.faults.Reject != 0:
			s.State = notaryv1.TransactionState_TRANSACTION_STATE_REJECTED
			s.Rejection = &notaryv1.Rejection{Reason: n.faults.Reject, Detail: "a rival became final"}
			for _, o := range r.tx.Spends() {
				delete(n.claims, o) // the rival lives in the imagination: the coins are there still
			}
		case s.PendingWeight < uint64(n.signers())*share:
			s.PendingWeight += share
		default:
			s.State, s.AcceptedWeight = notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED, share
		}
		return true, nil
	case notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED:
		if s.AcceptedWeight+share < uint64(n.signers())*share {
			s.AcceptedWeight += share
			return true, nil
		}
		return true, n.settle(r)
	}
	return false, nil
}

// wantState is the state that a wait level waits for, as they come in advance.
func wantState(level notaryv1.WaitLevel) notaryv1.TransactionState {
	switch level {
	case notaryv1.WaitLevel_WAIT_LEVEL_PENDING:
		return notaryv1.TransactionState_TRANSACTION_STATE_PENDING
	case notaryv1.WaitLevel_WAIT_LEVEL_ACCEPTED:
		return notaryv1.TransactionState_TRANSACTION_STATE_ACCEPTED
	case notaryv1.WaitLevel_WAIT_LEVEL_FINAL:
		return notaryv1.TransactionState_TRANSACTION_STATE_FINAL
	}
	return notaryv1.TransactionState_TRANSACTION_STATE_VALID
}

// submit takes a transaction and drives it to a level. A transaction that cannot move waits for ctx.
func (n *Network) submit(ctx context.Context, raw []byte, level notaryv1.WaitLevel) (*record, *notaryv1.TransactionStatus, error) {
	n.mu.Lock()
	r, err := n.take(raw)
	for moved := true; err == nil && moved && r.status.State < wantState(level); {
		moved, err = n.advance(r)
	}
	var s *notaryv1.TransactionStatus
	if r != nil {
		s = proto.CloneOf(r.status)
	}
	n.mu.Unlock()
	switch {
	case err != nil:
		return nil, nil, err
	case s.State == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED:
		return nil, nil, refuse(refusal.New(s.Rejection.Reason, s.Rejection.Field, "%s", s.Rejection.Detail), s)
	case s.State < wantState(level):
		<-ctx.Done()
		return nil, nil, refuse(refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "no quorum"), s)
	}
	return r, s, nil
}

// SubmitTransaction takes a transaction and makes it final where that is waited for.
func (n *Network) SubmitTransaction(ctx context.Context, req *notaryv1.SubmitTransactionRequest) (*notaryv1.SubmitTransactionResponse, error) {
	r, s, err := n.submit(ctx, req.GetTransaction(), req.GetWaitFor())
	if err != nil {
		return nil, err
	}
	proof, err := n.proofWanted(req.GetWithProof(), r, 0)
	return &notaryv1.SubmitTransactionResponse{Status: s, Proof: proof}, err
}

// proofWanted is the proof where one is wanted.
func (n *Network) proofWanted(wanted bool, r *record, known uint64) ([]byte, error) {
	if !wanted {
		return nil, nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.proofOf(r, known)
}

// proofOf is the proof as it is given out, with the links from a known epoch. The lock is held.
func (n *Network) proofOf(r *record, known uint64) ([]byte, error) {
	p, err := n.linked(r.proof, known)
	if err != nil {
		return nil, err
	}
	b := p.Encode()
	if n.faults.Proof != nil {
		b = n.faults.Proof(b)
	}
	return b, nil
}

// SubmitTransactions answers in the order of the requests.
func (n *Network) SubmitTransactions(stream grpc.BidiStreamingServer[notaryv1.SubmitTransactionsRequest, notaryv1.SubmitTransactionsResponse]) error {
	for {
		req, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		var answers []*notaryv1.SubmitTransactionsResponse
		for i, raw := range append([][]byte{req.GetTransaction()}, req.GetMore()...) {
			r, s, err := n.submit(stream.Context(), raw, req.GetWaitFor())
			if err != nil {
				return err
			}
			proof, err := n.proofWanted(req.GetWithProof(), r, req.GetKnownEpoch())
			if err != nil {
				return err
			}
			answers = append(answers, &notaryv1.SubmitTransactionsResponse{Sequence: req.GetSequence() + uint64(i), Status: s, Proof: proof})
		}
		answers[0].More = answers[1:]
		if err := stream.Send(answers[0]); err != nil {
			return err
		}
	}
}

// ValidateTransaction changes nothing.
func (n *Network) ValidateTransaction(_ context.Context, req *notaryv1.ValidateTransactionRequest) (*notaryv1.ValidateTransactionResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	tx, err := utxo.Decode(req.GetTransaction(), utxo.Rules{Network: n.Genesis.ID})
	answer := &notaryv1.ValidateTransactionResponse{}
	if err == nil {
		answer.TransactionId = tx.ID[:]
		_, err = utxo.ValidateSigned(tx, &n.set, utxo.Moment{NowMS: n.now()})
	}
	if r, ok := err.(*refusal.Error); ok {
		answer.Rejection = &notaryv1.Rejection{Reason: r.Reason, Field: r.Field, Detail: r.Detail}
	}
	return answer, nil
}

// find looks a transaction up. The lock is held.
func (n *Network) find(id []byte) (*record, error) {
	h, err := domain.HashFrom(id)
	if err != nil {
		return nil, refuse(refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "transaction_id", "%v", err), nil)
	}
	r, ok := n.records[h]
	if !ok {
		return nil, refuse(refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transaction_id", "never heard of %s", h), nil)
	}
	return r, nil
}

// GetTransaction changes nothing.
func (n *Network) GetTransaction(_ context.Context, req *notaryv1.GetTransactionRequest) (*notaryv1.GetTransactionResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, err := n.find(req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	var body notaryv1.TransactionBody
	if err := proto.Unmarshal(r.tx.Body, &body); err != nil {
		return nil, err
	}
	answer := &notaryv1.GetTransactionResponse{Status: proto.CloneOf(r.status), Transaction: r.tx.Raw, Body: &body}
	if n.faults.Transaction != nil {
		n.faults.Transaction(answer)
	}
	return answer, nil
}

// ExplainTransaction names the final transaction that one lost to.
func (n *Network) ExplainTransaction(_ context.Context, req *notaryv1.ExplainTransactionRequest) (*notaryv1.ExplainTransactionResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	id, err := domain.HashFrom(req.GetTransactionId())
	r, known := n.refused[id]
	if err != nil || !known {
		if r, err = n.find(req.GetTransactionId()); err != nil {
			return nil, err
		}
	}
	answer := &notaryv1.ExplainTransactionResponse{Status: proto.CloneOf(r.status)}
	for _, o := range r.tx.Spends() {
		if e, known := n.set.Lookup(o); known && !e.SpentBy.IsZero() && e.SpentBy != r.tx.ID {
			answer.Winner = e.SpentBy[:]
		}
	}
	if n.faults.Explain != nil {
		n.faults.Explain(answer)
	}
	return answer, nil
}

// WatchTransaction moves the transaction one step for each status that it sends.
func (n *Network) WatchTransaction(req *notaryv1.WatchTransactionRequest, stream grpc.ServerStreamingServer[notaryv1.WatchTransactionResponse]) error {
	for {
		n.mu.Lock()
		r, err := n.find(req.GetTransactionId())
		if err != nil {
			n.mu.Unlock()
			return err
		}
		s := proto.CloneOf(r.status)
		moved, err := n.advance(r)
		n.mu.Unlock()
		if err != nil {
			return refuse(err, s)
		}
		if err := stream.Send(&notaryv1.WatchTransactionResponse{Status: s}); err != nil {
			return err
		}
		if s.State == notaryv1.TransactionState_TRANSACTION_STATE_FINAL || s.State == notaryv1.TransactionState_TRANSACTION_STATE_REJECTED {
			return nil
		}
		if !moved {
			<-stream.Context().Done()
			return stream.Context().Err()
		}
	}
}

// GetAcceptanceProof gives the proof of what is final.
func (n *Network) GetAcceptanceProof(_ context.Context, req *notaryv1.GetAcceptanceProofRequest) (*notaryv1.GetAcceptanceProofResponse, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, err := n.find(req.GetTransactionId())
	if err != nil {
		return nil, err
	}
	if r.proof == nil {
		return nil, refuse(refusal.New(notaryv1.Reason_REASON_NOT_FINAL, "transaction_id", "it is not final yet"), r.status)
	}
	proof, err := n.proofOf(r, req.GetKnownEpoch())
	return &notaryv1.GetAcceptanceProofResponse{Proof: proof}, err
}
