package e2e

import (
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// epoch is the one in which a node votes and counts.
func (v *notary) epoch(t *testing.T) uint64 {
	t.Helper()
	info, err := v.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return info.GroupEpoch
}

// counted is the weight of the ACCEPTED votes of a node on a transaction, as another node counts them; none where it has not
// heard of the transaction yet.
func (v *notary) counted(t *testing.T, of *notary, tx *utxo.Tx) uint64 {
	t.Helper()
	answer, err := v.running.ExplainTransaction(t.Context(), &notaryv1.ExplainTransactionRequest{TransactionId: tx.ID[:]})
	if reasonOf(err) == notaryv1.Reason_REASON_NOT_FOUND {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, vote := range answer.Votes {
		if domain.PublicKey(vote.NodeKey) == of.key.Public() && vote.State == uint32(notaryv1.VoteState_VOTE_STATE_ACCEPTED) && vote.GroupEpoch > 0 {
			return vote.Weight
		}
	}
	return 0
}

// TestVotesUnderLinks: the fifth node votes once it has weight, and its votes count; who is convicted is out of
// what quorums are counted in; proofs made under three groups and more verify from genesis alone.
func TestVotesUnderLinks(t *testing.T) {
	n := start(t, 4, setup{coins: 400, speak: true})  // some are paid until a vote comes in time
	paid := []*utxo.Tx{n.nodes[0].pays(t, bob, 0, 0)} // epoch 0
	for _, v := range n.nodes {
		for _, other := range n.nodes {
			if other != v {
				v.label(t, other, group.MaxScore)
			}
		}
	}
	fifth := n.join(t)
	n.meet(t)
	n.nodes[0].label(t, fifth, group.MaxScore)
	n.nodes[1].label(t, fifth, group.MaxScore)
	n.each(t, "the fifth node to carry weight", func(v *notary) bool { return v.weight(t, fifth) > uint64(group.Total)/100 })
	eventually(t, "the fifth node to vote with it", func() bool {
		info, err := fifth.running.GetNetwork(t.Context(), &notaryv1.GetNetworkRequest{})
		return err == nil && info.NodeWeight > 0
	})
	coins := 1
	next := func(v *notary) *utxo.Tx {
		tx := v.pays(t, bob, 0, coins)
		coins++
		paid = append(paid, tx)
		return tx
	}
	eventually(t, "a vote of the fifth node that counts", func() bool {
		return n.nodes[1].counted(t, fifth, next(n.nodes[0])) > 0
	})

	guilty := n.nodes[3]
	guilty.kill(t)
	old := guilty.copyOf(t)
	guilty.start(t)
	n.meet(t)
	next(guilty)
	guilty.kill(t)
	n.contradict(t, guilty, old, coins)
	coins++
	n.each(t, "the convicted to be out", func(v *notary) bool { return v.weight(t, guilty) == 0 })
	removed, _ := fifth.links(t)
	n.each(t, "votes under the link that removed it", func(v *notary) bool { return v.epoch(t) >= removed.Group().Epoch() })
	n.allFinal(t, next(n.nodes[1]), next(fifth))
	n.allFinal(t, paid...)
	for _, tx := range paid {
		n.verify(t, fifth.proof(t, tx.ID), tx.ID)
	}
	n.equalLedgers(t)
}
