package conflict

import (
	"cmp"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Lock names what binds a node: a transaction, and the certificate it was accepted on, by the link of the group that
// gave it and the round.
type Lock struct {
	Tx    domain.Hash
	Link  domain.Hash
	Round uint32
}

// Bond is a transaction with a lock that was taken over, and all that it spends: also outpoints on which a higher lock hides its own.
type Bond struct {
	Tx     domain.Hash
	Spends []utxo.Outpoint
}

// compareLocks orders locks by transaction, link and round.
func compareLocks(a, b Lock) int {
	return cmp.Or(a.Tx.Compare(b.Tx), a.Link.Compare(b.Link), cmp.Compare(a.Round, b.Round))
}

// HandoverInput is what Handover.Step takes: Walked, Settled, Certified, Linked or Again.
type HandoverInput interface{ handover() }

// Walked is the next observation of a voter's chain under the present link, heights in order: the first one under it,
// and then one after the other (Handover.Next). This node's own are told once they are on disk. WalkOf makes it.
type Walked struct {
	Voter  int
	Height uint64
	// Locks are what it binds its signer to: each ACCEPTED, and each inherited lock. Those that are settled here
	// already may be left out.
	Locks []Lock
	// Closing is the link under which the signer goes on; zero while it signs on under the present one.
	Closing domain.Hash
}

// Settled says that a transaction is final here, or that a rival is.
type Settled struct{ Tx domain.Hash }

// Certified says that the certificate behind a lock is known here, and checked, and so is its transaction.
type Certified struct {
	Lock Lock
	// Epoch is that of Lock.Link.
	Epoch  uint64
	Spends []utxo.Outpoint
}

// Linked says that the link from the present group to the next one is final here.
type Linked struct{ Next *group.Group }

// Again says that a while has passed: what is still missing is asked for.
type Again struct{}

func (Walked) handover()    {}
func (Settled) handover()   {}
func (Certified) handover() {}
func (Linked) handover()    {}
func (Again) handover()     {}

// HandoverEffect is what Handover.Step asks for: Close, NeedChain, HandLink, NeedLock or Enter.
type HandoverEffect interface{ handoverEffect() }

// Close asks this node to end its chain under the present link with a closing statement (ClosingLeaves). From now on
// it signs nothing else under that link. It may be asked for again after a restart, until the statement was Walked.
type Close struct {
	Next   *group.Group
	Stated []Lock
}

// NeedChain asks for a voter's chain under the present link, from a height on; 0 where none of it is known.
type NeedChain struct {
	Key  domain.PublicKey
	From uint64
}

// HandLink asks to hand the acceptance proof of the link to a voter that has not closed the epoch, so far as is known
// here: it may lack the proof, and nobody votes on the link any more.
type HandLink struct{ To domain.PublicKey }

// NeedLock asks for the certificate behind a lock, and its transaction, from a voter that is bound by it.
type NeedLock struct {
	Lock Lock
	From domain.PublicKey
}

// Enter ends the hand-over. Records and Stated must be on disk, synced, before this node signs anything under the link
// of Group; then its Guard restores Records and its Contests take NewGroup. Stated are what the Handover of the next
// epoch begins with. Bonds are what was taken over from others, ascending by transaction: when a rival of one is final it has
// lost on all that it spends, whether it is on its way here or not, so they must be on disk too, until it is settled.
type Enter struct {
	Group   *group.Group
	Records []Record
	Bonds   []Bond
	Stated  []Lock
}

func (Close) handoverEffect()     {}
func (NeedChain) handoverEffect() {}
func (HandLink) handoverEffect()  {}
func (NeedLock) handoverEffect()  {}
func (Enter) handoverEffect()     {}
