package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// proven is a transaction with a proof that it is final, verified.
type proven struct {
	tx    *utxo.Tx
	proof *observation.Proof
	at    conflict.Finality
	edges []store.EdgeRef
	voter int // of the first
}

// errNoQuorum says that a proof that came on request proves nothing: no honest node hands out such a one.
var errNoQuorum = errors.New("the proof shows no quorum")

// proves verifies a transaction that was pulled with its proof. Without a proof, or where the link that it names is not
// final here yet, there is nothing proven and no error; an error is the fault of who sent it.
func (sh *shell) proves(raw, proof []byte) (id domain.Hash, p *proven, err error) {
	return proves(raw, proof, sh.rules, sh.lineage.known)
}

// proves is that of a shell, by the groups that are known.
func proves(raw, proof []byte, rules utxo.Rules, known func(link domain.Hash) *group.Group) (id domain.Hash, p *proven, err error) {
	tx, err := utxo.Decode(raw, rules)
	if err != nil || len(proof) == 0 {
		if err == nil {
			id = tx.ID
		}
		return id, nil, err
	}
	decoded, err := observation.DecodeProof(proof, observation.Limits{})
	if err != nil {
		return tx.ID, nil, err
	}
	g := known(decoded.Link)
	if g == nil {
		return tx.ID, nil, nil
	}
	if len(decoded.Transactions) != 1 || decoded.Transactions[0].ID != tx.ID {
		return tx.ID, nil, fmt.Errorf("%w of %s", errNoQuorum, tx.ID)
	}
	verdict, err := decoded.Verify(observation.NewRoot(g))
	if err == nil && verdict.Conclusion != observation.Valid {
		err = fmt.Errorf("%w of %s: %v", errNoQuorum, tx.ID, verdict.Conclusion)
	}
	if err != nil {
		return tx.ID, nil, err
	}
	p = &proven{tx: tx, proof: decoded, at: conflict.Finality{Round: decoded.Transactions[0].Round, Group: g}}
	for _, e := range decoded.Edges(g, 0) {
		p.edges = append(p.edges, store.EdgeRef{
			Key: e.Header.Key, SigningEpoch: e.Header.SigningEpoch, Height: e.Header.Height, Leaf: e.LeafIndex,
		})
	}
	p.voter, _ = g.Voter(p.edges[0].Key)                  // else the proof would not be valid
	decoded.Transactions[0].Raw, decoded.Links = nil, nil // as a kept proof is (keepProof)
	return tx.ID, p, nil
}

// takeProven makes a transaction final by its proof: it goes the way of all others, parents first, with the verdict of
// its quorum. The proof is kept, for the observations that it is made of may never come.
func (sh *shell) takeProven(ctx context.Context, p *proven) error {
	if err := sh.space.admit(); err != nil {
		return err // a proof of what finds no room would take some every time that it came
	}
	if err := sh.store.SaveProof(p.tx.ID, p.proof.Encode()); err != nil {
		if !sh.space.noted(err) {
			sh.fail(err)
		}
		return err
	}
	f, err := sh.intake(ctx, p.tx, Origin{kind: fromPull, name: "pull"}, false)
	if err != nil {
		return err
	}
	f.box.post(finality{
		Counted: lifecycle.Counted{Group: p.at.Group, Voter: p.voter, Round: p.at.Round, Kind: conflict.Final},
		edges:   p.edges,
	})
	return nil
}
