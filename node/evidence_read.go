package node

import (
	"context"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of a page of evidence: how many pieces, and after how many bytes it ends.
const (
	maxEvidencePage  = 100
	evidencePageSize = 1 << 20
)

// Evidence lists the canonical evidence kept here, by hash, from a page token on; the empty token is the
// beginning, and an empty next says that there is no more. limit is at most 100, which is also what 0
// means; a page ends sooner where it would exceed 1 MiB, but holds one piece at least.
func (n *Node) Evidence(ctx context.Context, pageToken string, limit int) (raws [][]byte, next string, err error) {
	var after domain.Hash
	if pageToken != "" {
		if after, err = domain.ParseHash(pageToken); err != nil {
			return nil, "", refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "not a token of this list")
		}
	}
	if limit <= 0 || limit > maxEvidencePage {
		limit = maxEvidencePage
	}
	size := 0
	for e, err := range n.sh.store.EvidenceAfter(after) {
		switch {
		case err != nil:
			return nil, "", err
		case ctx.Err() != nil:
			return nil, "", ctx.Err()
		case len(raws) == limit || len(raws) > 0 && size+len(e.Raw) > evidencePageSize:
			return raws, after.String(), nil
		}
		raws, size, after = append(raws, e.Raw), size+len(e.Raw), e.Hash
	}
	return raws, "", nil
}

// Convicted reports whether there is evidence here against a node key of a peer of the present group. It
// says nothing of weight: the peer's votes count until a link removes it.
func (n *Node) Convicted(peerID domain.Hash) bool {
	for _, m := range n.sh.group().Members() {
		if m.PeerID == peerID {
			return n.sh.archive.convicts(m.Keys)
		}
	}
	return false
}

// peerOf is the peer that a node key of the present group belongs to; zero where it belongs to none.
func (sh *shell) peerOf(key domain.PublicKey) domain.Hash {
	for _, m := range sh.group().Members() {
		for _, k := range m.Keys {
			if k.Key == key {
				return m.PeerID
			}
		}
	}
	return domain.Hash{}
}
