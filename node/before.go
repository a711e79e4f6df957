package node

import (
	"cmp"
	"hash/maphash"
	"slices"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// beforeSet is what was final before the store began from a snapshot, as 8 bytes of a hash under a key of this process:
// the chains, which are walked from their first observation, hold votes on all of it, and nobody can make an id that is
// taken for one of these. The nil set is empty. Safe for concurrent use.
type beforeSet struct {
	seed   maphash.Seed
	hashes []uint64 // ascending
}

// newBefore reads the set from a store; nil where it began with the genesis document.
func newBefore(s *store.Store) (*beforeSet, error) {
	began := s.Began()
	if began == nil {
		return nil, nil
	}
	b := &beforeSet{seed: maphash.MakeSeed(), hashes: make([]uint64, 0, began.Finals)}
	for from := uint64(1); from <= began.Finals; from += logPage {
		page, err := s.FinalLog(from, int(min(logPage, began.Finals-from+1)))
		if err != nil {
			return nil, err
		}
		for i := range page {
			b.hashes = append(b.hashes, maphash.Bytes(b.seed, page[i].Tx[:]))
		}
	}
	slices.Sort(b.hashes)
	return b, nil
}

// holds reports whether a transaction was final before the store began.
func (b *beforeSet) holds(id domain.Hash) bool {
	if b == nil {
		return false
	}
	_, found := slices.BinarySearchFunc(b.hashes, maphash.Bytes(b.seed, id[:]), cmp.Compare[uint64])
	return found
}

// snapshots is what this node has to do with snapshots; nil for nothing.
func (sh *shell) snapshots() *notaryv1.SnapshotStatus {
	var s notaryv1.SnapshotStatus
	began := sh.store.Began()
	if began != nil {
		s.BeganMs, s.BeganFinals, s.BeganOutputs = began.TimeMS, began.Finals, began.Outputs
		s.BeganManifest, s.BeganWeight = began.Manifest[:], uint64(began.Weight)
	}
	offered := sh.snapshotter.newest()
	if offered != nil {
		s.OfferedMs, s.OfferedManifest, s.OfferedBytes = offered.Manifest.TimeMS, offered.Hash[:], offered.Bytes()
	}
	if began == nil && offered == nil {
		return nil
	}
	return &s
}
