package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// minPruneAge is the least age of what may be pruned. What is younger may be asked for by whoever was away for a
// while, and is counted again after a restart.
const minPruneAge = time.Hour

// Prune drops observations older than an age in milliseconds, and with them the proofs that they make up, but
// for those of transactions that pay to or spend from the addresses named: these are kept whole. What is
// undecided keeps everything that is needed to decide it, and links keep their proofs.
func (n *Node) Prune(ctx context.Context, olderThanMS uint64, keep []string) (*notaryv1.PruneResponse, error) {
	if olderThanMS < uint64(minPruneAge.Milliseconds()) {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "older_than_ms", "at least an hour of observations is kept")
	}
	own := make(map[utxo.Address]bool, len(keep))
	for _, text := range keep {
		address, err := n.address(text)
		if err != nil {
			return nil, err
		}
		own[address] = true
	}
	now := nowMS()
	return n.prune(ctx, now-min(now, olderThanMS), own)
}

// prune drops what was sealed before a time.
func (n *Node) prune(ctx context.Context, before uint64, own map[utxo.Address]bool) (*notaryv1.PruneResponse, error) {
	sh := n.sh
	for p, err := range sh.store.PendingTransactions() {
		if err != nil {
			return nil, err
		}
		before = min(before, p.VotedMS-min(p.VotedMS, recountMargin))
	}
	if err := sh.keepLinks(); err != nil {
		return nil, err
	}
	cuts, err := sh.store.Prunable(before, nowMS(), sh.walked())
	if err != nil {
		return nil, err
	}
	r := new(notaryv1.PruneResponse)
	if len(own) > 0 {
		if err := n.keepProofs(ctx, cuts, own, r); err != nil {
			return nil, err
		}
	}
	bytes, err := sh.store.PruneObservations(before, cuts)
	sh.lineage.edges.forget()
	if err != nil {
		return nil, err
	}
	r.BytesFreed, r.BeforeMs = bytes, before
	sh.log.Info("pruned", "before", time.UnixMilli(int64(before)), "bytes", bytes, "proofs_kept", r.ProofsKept, "proofs_gone", r.ProofsGone)
	return r, nil
}

// walked is what the hand-over from the present epoch may still walk, also in the next life.
func (sh *shell) walked() store.Walk {
	g := sh.group()
	return store.Walk{Link: g.Link(), Past: func(link domain.Hash) bool {
		under := sh.lineage.known(link)
		return under != nil && under.Epoch() < g.Epoch()
	}}
}

// keepProofs stores the proofs of the transactions of some addresses of which a vote goes. When they became final here says
// nothing of that: a node that was away learns long after what was signed.
func (n *Node) keepProofs(ctx context.Context, cuts store.Cuts, own map[utxo.Address]bool, r *notaryv1.PruneResponse) error {
	sh := n.sh
	for from := uint64(1); ; {
		page, err := sh.store.FinalLog(from, logPage)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, e := range page {
			from = e.Seq + 1
			t, found, err := sh.store.Transaction(e.Tx)
			if err != nil {
				return err
			}
			if !found || t.Final == nil || !loses(t.Final, cuts) {
				continue
			}
			touches, err := sh.touches(t.Raw, own)
			if err != nil {
				return err
			}
			if !touches {
				continue
			}
			if err := sh.keepProof(e.Tx, t, r); err != nil {
				return err
			}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// loses reports whether an observation goes, or has gone, that a quorum lies in.
func loses(f *store.FinalInfo, cuts store.Cuts) bool {
	return slices.ContainsFunc(f.Edges, func(e store.EdgeRef) bool {
		return e.Height < cuts[observation.ChainID{Key: e.Key, SigningEpoch: e.SigningEpoch}]
	})
}

// keepLinks stores the proofs of all links: every later proof leads over some of them.
func (sh *shell) keepLinks() error {
	links, err := sh.lineage.transactions()
	if err != nil {
		return err
	}
	for _, id := range links {
		t, found, err := sh.store.Transaction(id)
		if err != nil {
			return err
		}
		if !found || t.Final == nil {
			return fmt.Errorf("link %s is not in the store", id)
		}
		var counted notaryv1.PruneResponse
		if err := sh.keepProof(id, t, &counted); err != nil {
			return err
		}
	}
	return nil
}

// keepProof stores the proof of a final transaction, unless it is stored or cannot be made any more.
func (sh *shell) keepProof(id domain.Hash, t *store.Transaction, r *notaryv1.PruneResponse) error {
	_, kept, err := sh.store.Proof(id)
	if err != nil {
		return err
	}
	if kept {
		r.ProofsKept++
		return nil
	}
	proof, err := sh.prove(id, t.Raw, t.Final)
	switch {
	case pruned(err):
		r.ProofsGone++
		return nil
	case err != nil:
		return err
	}
	r.ProofsKept++
	return sh.store.SaveProof(id, proof.Encode())
}

// touches reports whether a final transaction pays to or spends from one of some addresses.
func (sh *shell) touches(raw []byte, own map[utxo.Address]bool) (bool, error) {
	if raw == nil { // final before the store began
		return false, nil
	}
	tx, err := utxo.Decode(raw, sh.rules)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(tx.Outputs, func(o utxo.Output) bool { return own[o.Address] }) {
		return true, nil
	}
	for _, o := range tx.Spends() {
		entry, found, err := sh.store.Lookup(o)
		if err != nil {
			return false, err
		}
		if found && own[entry.Output.Address] {
			return true, nil
		}
	}
	return false, nil
}

// prunedProof is the refusal of a proof whose observations are gone.
func prunedProof(id domain.Hash) error {
	return refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transaction_id", "the proof of %s was pruned here; other nodes may have it", id)
}

// noProof is the refusal of a proof of what was final before the store began.
func noProof(id domain.Hash) error {
	return refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "transaction_id", "%s was final before this node began; other nodes may have its proof", id)
}

// pruned reports whether a proof is refused because what it is made of is not here any more, or never was.
func pruned(err error) bool {
	return err != nil && refusal.ReasonOf(err) == notaryv1.Reason_REASON_NOT_FOUND
}

// Backup copies the store while the node works (store.Backup), and returns the size of the copy in bytes.
func (n *Node) Backup(_ context.Context, dir string) (uint64, error) {
	bytes, err := n.sh.store.Backup(dir)
	if err != nil {
		return 0, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "directory", "%v", err)
	}
	n.sh.log.Info("backed up", "to", dir, "bytes", bytes)
	return bytes, nil
}
