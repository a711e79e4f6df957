package node

import (
	"context"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// ErrSignedElsewhere says that this node's key has signed, in the epoch in which it signs now, what is not
// on record here: another machine runs the key, or the store is older than it thinks. A node that went on
// would contradict itself sooner or later, so it ends.
var ErrSignedElsewhere = errors.New("this node's key has signed what is not on record here")

// maySign reports whether this node signs under a group, and if it is counted there and does not sign, why.
func maySign(g *group.Group, self domain.PublicKey, s store.Signing) (may bool, why string) {
	i, member := g.Voter(self)
	switch {
	case s.Backup:
		return false, "does not vote: the store is a backup that was not restored (notaryd restore)"
	case !member:
		return false, ""
	case g.Voters()[i].SigningEpoch != s.Epoch && s.RestoredMS != 0:
		return false, fmt.Sprintf("does not vote: the store was restored, and signs again once a link names signing epoch %d of this key, not %d",
			s.Epoch, g.Voters()[i].SigningEpoch)
	case g.Voters()[i].SigningEpoch != s.Epoch:
		return false, fmt.Sprintf("does not vote: the group counts signing epoch %d of this key, and this store signs in %d: was it restored on another machine?",
			g.Voters()[i].SigningEpoch, s.Epoch)
	}
	return true, ""
}

// signs reports whether a chain is the one that this node signs.
func (sh *shell) signs(chain observation.ChainID) bool {
	s := sh.store.Signing()
	return chain.Key == sh.self && chain.SigningEpoch == s.Epoch && !s.Backup
}

// recognise holds an observation by this node's own key, come from others, against what is on record here.
// One that is unknown and validly signed ends the node.
func (sh *shell) recognise(ctx context.Context, o *observation.Observation) error {
	known, err := sh.recorded(o.Header.Chain(), o.Header.Height, o.Hash)
	if err != nil || known {
		return err
	}
	bad, err := sh.verifier.verify(ctx, []domain.Check{o.Check()})
	if err != nil {
		return err
	}
	if bad >= 0 {
		return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "observation %d of %s", o.Header.Height, o.Header.Key)
	}
	err = signedElsewhere(o)
	sh.log.Error("this node ends: its key signs elsewhere, or its store is an old copy", "key", sh.self,
		"signing_epoch", o.Header.SigningEpoch, "height", o.Header.Height, "hash", o.Hash, "head", sh.store.Head(o.Header.Chain()).Height)
	sh.fail(err)
	return err
}

func signedElsewhere(o *observation.Observation) error {
	return fmt.Errorf("%w: observation %s at height %d of signing epoch %d. Stop the other machine that runs this key; "+
		"if there is none, this data directory is an old copy: notaryd restore makes it sign in a new epoch",
		ErrSignedElsewhere, o.Hash, o.Header.Height, o.Header.SigningEpoch)
}

// recorded reports whether this node has signed an observation, by its own record.
func (sh *shell) recorded(chain observation.ChainID, height uint64, hash domain.Hash) (bool, error) {
	signed, err := sh.store.Signed(chain, height, hash)
	if err != nil {
		sh.fail(err)
	}
	return signed, err
}
