package node

import (
	"slices"
	"testing"

	"github.com/notarynet/notaryd/proto/group"
)

// TestCertifies: a key that its peer lists without a BLS key gets it, which is a new version; one that is listed in a later signing epoch is
// left as it is.
func TestCertifies(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	key, signing := v.signers[0].Key, n.sh.store.Signing().Epoch
	listed := func(epoch uint32) group.Peer {
		return group.Peer{ID: v.peer(0), Version: 1, Keys: []group.CertifiedKey{group.Certify(key, epoch, v.genesis.ID, v.peer(0))}}
	}
	certified := func(p group.Peer) group.Peer {
		p.Keys = slices.Clone(p.Keys)
		n.certify(&p)
		return p
	}
	old := listed(signing)
	next := certified(old)
	if len(next.Keys) != 1 || len(next.Keys[0].BLS) == 0 || samePeer(&old, &next) {
		t.Error("a BLS key is not worth a version")
	}
	if again := certified(next); !samePeer(&next, &again) {
		t.Error("what is listed already is worth a version")
	}
	if later := listed(signing + 1); certified(later).Keys[0].SigningEpoch != signing+1 {
		t.Error("a signing epoch goes down")
	}
	none := certified(group.Peer{ID: v.peer(0)})
	if len(none.Keys) != 1 || none.Keys[0].SigningEpoch != signing {
		t.Errorf("listed anew: %+v", none.Keys)
	}
}
