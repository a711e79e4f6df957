package client

import (
	"context"
	"crypto/rand"
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// ProofError says that a node's proof does not convince. It unwraps to the refusal that names the part
// at fault where the proof is wrong, and to NOT_ENOUGH_WEIGHT where it is only weak.
type ProofError struct {
	Conclusion observation.Conclusion
	Err        error
}

// Error implements error.
func (e *ProofError) Error() string {
	return fmt.Sprintf("the node's proof does not convince: %v", e.Err)
}

// Unwrap is the reason.
func (e *ProofError) Unwrap() error { return e.Err }

// Root is what a verifier needs who trusts a network's genesis document. It works without a node.
func Root(g *group.Genesis) observation.Root {
	root := observation.GenesisRoot(g)
	root.VerifyBatch = func(checks []domain.Check) []bool { return domain.VerifyBatch(checks, rand.Reader) }
	return root
}

// Proof fetches the acceptance proof of a final transaction and verifies it. It carries the links from
// genesis, so that everybody who knows the network can check it: the proof to keep. A transaction that is
// not final gives NOT_FINAL, one never heard of NOT_FOUND, a proof that does not hold *ProofError, which
// unwraps to *observation.Break where the network's history has broken.
func (c *Client) Proof(ctx context.Context, id domain.Hash) (*observation.Proof, observation.Verdict, error) {
	return c.proofFrom(ctx, id, 0)
}

// ShortProof is Proof with no more links than are needed from the latest group known here. It is enough
// to know that a transaction is final; others may lack the group that its links begin at.
func (c *Client) ShortProof(ctx context.Context, id domain.Hash) (*observation.Proof, observation.Verdict, error) {
	from := c.Known().Epoch()
	proof, verdict, err := c.proofFrom(ctx, id, from)
	if from > 0 && verdict.Conclusion == observation.NoTrustRoot {
		return c.proofFrom(ctx, id, 0)
	}
	return proof, verdict, err
}

func (c *Client) proofFrom(ctx context.Context, id domain.Hash, epoch uint64) (*observation.Proof, observation.Verdict, error) {
	answer, err := call(ctx, c, c.api.GetAcceptanceProof, &notaryv1.GetAcceptanceProofRequest{TransactionId: id[:], KnownEpoch: epoch})
	if err != nil {
		return nil, observation.Verdict{}, err
	}
	return c.Verify(id, answer.GetProof())
}

// CompactProof has the node make the compact proof of a final transaction, and verifies it as Proof does.
func (c *Client) CompactProof(ctx context.Context, id domain.Hash) (*observation.Compact, observation.Verdict, error) {
	var verdict observation.Verdict
	answer, err := call(ctx, c, c.api.GetAcceptanceProof, &notaryv1.GetAcceptanceProofRequest{TransactionId: id[:], Compact: true})
	if err != nil {
		return nil, verdict, err
	}
	proof, err := observation.DecodeCompact(answer.GetCompactProof(), observation.Limits{})
	if err != nil {
		return nil, verdict, &ProofError{Err: err}
	}
	if verdict, err = proof.Verify(*c.known.root.Load()); err != nil {
		return nil, verdict, &ProofError{Err: err}
	}
	switch {
	case verdict.Conclusion != observation.Valid:
		return nil, verdict, tooWeak(verdict)
	case proof.Tx != id:
		return nil, verdict, &ProofError{Err: refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transaction_id", "it proves another transaction")}
	}
	return proof, verdict, c.known.learn(c.genesis.ID, verdict.Anchors)
}

func tooWeak(v observation.Verdict) error {
	reason := refusal.New(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "", "too little known weight stands behind it")
	return &ProofError{Conclusion: v.Conclusion, Err: reason}
}

// Verify decodes and verifies what should prove one transaction, such as a proof of WatchAcceptances, and
// remembers the groups that it leads to.
func (c *Client) Verify(id domain.Hash, raw []byte) (*observation.Proof, observation.Verdict, error) {
	proof, err := observation.DecodeProof(raw, observation.Limits{})
	if err != nil {
		return nil, observation.Verdict{}, &ProofError{Err: err}
	}
	verdict, err := proof.Verify(*c.known.root.Load())
	if err != nil {
		return nil, verdict, &ProofError{Err: err}
	}
	if verdict.Conclusion != observation.Valid {
		return nil, verdict, tooWeak(verdict)
	}
	if err := c.known.learn(c.genesis.ID, verdict.Anchors); err != nil {
		return nil, verdict, err
	}
	for _, t := range verdict.Transactions {
		if t.ID == id {
			return proof, verdict, nil
		}
	}
	return nil, verdict, &ProofError{Err: refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transactions", "it proves another transaction")}
}

// TransactionID is the id in an outpoint that a node named.
func TransactionID(o *notaryv1.Outpoint) (domain.Hash, error) {
	id, err := domain.HashFrom(o.GetTransaction())
	if err != nil {
		return id, refusal.New(notaryv1.Reason_REASON_MALFORMED, "outpoint.transaction", "%v", err)
	}
	return id, nil
}

// Proven is the transaction that a verified proof carries. Its body is what was proven; its witnesses
// prove nothing and are left out. NOT_FOUND says that the proof carries no such transaction.
func Proven(p *observation.Proof, id domain.Hash) (*utxo.Tx, error) {
	for i := range p.Transactions {
		t := &p.Transactions[i]
		if t.ID != id || len(t.Raw) == 0 {
			continue
		}
		var signed notaryv1.Transaction
		if err := proto.Unmarshal(t.Raw, &signed); err != nil {
			return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, fmt.Sprintf("transactions[%d].transaction", i), "%v", err)
		}
		tx, err := utxo.DecodeBody(signed.GetBody(), utxo.Rules{Network: p.Network})
		if err != nil {
			return nil, refusal.Under(fmt.Sprintf("transactions[%d].transaction.body", i), err)
		}
		return tx, nil
	}
	return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transactions", "the proof does not carry %s", id)
}

// ProvenOutput is an output of a transaction that a verified proof carries. NOT_FOUND says that it carries no
// such output, whatever a node said of it.
func ProvenOutput(p *observation.Proof, o utxo.Outpoint) (*utxo.Output, error) {
	tx, err := Proven(p, o.Tx)
	if err != nil {
		return nil, err
	}
	if uint64(o.Index) >= uint64(len(tx.Outputs)) {
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transactions", "%s has %d outputs, none at %d", o.Tx, len(tx.Outputs), o.Index)
	}
	return &tx.Outputs[o.Index], nil
}
