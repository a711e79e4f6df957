package utxo

import (
	"slices"
	"strconv"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Limits of a transaction.
const (
	MaxTxBytes   = 262_144
	MaxBodyBytes = 245_760
	MaxInputs    = 256
	MaxOutputs   = 256
	MaxWitnesses = 256
)

// Input refers to an outpoint, to consume it or only to require it.
type Input struct {
	Kind     notaryv1.InputKind
	Outpoint Outpoint
}

// Tx is a decoded transaction. It shares memory with Raw. Not to be changed.
type Tx struct {
	// ID is H("notary/tx/v1", Body): without the witnesses, so it cannot be changed by others.
	ID domain.Hash
	// FullHash is SHA-256 of Raw, witnesses included: what a verdict that depends on them is
	// remembered by.
	FullHash domain.Hash
	// Raw is the exact canonical Transaction, Body the exact canonical TransactionBody within.
	Raw, Body []byte

	Network domain.Hash
	Inputs  []Input
	Outputs []Output
	// ValidFromMS and ValidUntilMS are the first and last instant for a vote in round 0, Unix
	// milliseconds; 0 is unbounded.
	ValidFromMS, ValidUntilMS uint64
	Facilitators              []domain.PublicKey
	Memo, Salt                []byte
	Witnesses                 []Witness

	// Peer is the metadata and Link the group that the transaction makes; nil where it makes none.
	Peer *group.Peer
	Link *group.Group

	peerAt int        // the output that holds Peer
	spends []Outpoint // of a transaction that was decoded
	room   room
}

// room is what most transactions need: one or two inputs of one owner, a payment and the change. All of it in one piece is one
// allocation, and what lies together is fetched together.
type room struct {
	inputs     [2]Input
	outputs    [2]Output
	spends     [1]Outpoint
	witnesses  [1]Witness
	signatures [1]LockSignature
	keys       [1]domain.PublicKey
}

// listOf is an empty list for so many, in the room that there is or else elsewhere.
func listOf[T any](room []T, n int) []T {
	if n <= len(room) {
		return room[:0:n]
	}
	return make([]T, 0, n)
}

// Spends are the outpoints that the transaction consumes, in its order. Not to be changed.
func (tx *Tx) Spends() []Outpoint {
	if tx.spends != nil {
		return tx.spends
	}
	return tx.outpoints(notaryv1.InputKind_INPUT_KIND_SPEND)
}

// Reads are the outpoints that it requires without consuming them, in its order.
func (tx *Tx) Reads() []Outpoint { return tx.outpoints(notaryv1.InputKind_INPUT_KIND_READ) }

func (tx *Tx) outpoints(kind notaryv1.InputKind) []Outpoint {
	return tx.appendOutpoints(make([]Outpoint, 0, len(tx.Inputs)), kind)
}

func (tx *Tx) appendOutpoints(out []Outpoint, kind notaryv1.InputKind) []Outpoint {
	for i := range tx.Inputs {
		if in := &tx.Inputs[i]; in.Kind == kind {
			out = append(out, in.Outpoint)
		}
	}
	return slices.Clip(out)
}

// Issues is the product that the transaction may issue: that of the first outpoint it spends.
func (tx *Tx) Issues() Product {
	for _, in := range tx.Inputs {
		if in.Kind == notaryv1.InputKind_INPUT_KIND_SPEND {
			return ProductID(in.Outpoint)
		}
	}
	return Product{}
}

// Checks are the signatures of all witnesses, in their order, and then those by which node keys agree to
// belong to the peer.
func (tx *Tx) Checks() []domain.Check {
	n := 0
	if tx.Peer != nil {
		n = len(tx.Peer.Keys)
	}
	for i := range tx.Witnesses {
		n += len(tx.Witnesses[i].Signatures)
	}
	return tx.AppendChecks(make([]domain.Check, 0, n))
}

// AppendChecks appends what Checks returns.
func (tx *Tx) AppendChecks(checks []domain.Check) []domain.Check {
	for i := range tx.Witnesses {
		w := &tx.Witnesses[i]
		for _, s := range w.Signatures {
			checks = append(checks, domain.Check{
				Key: w.Lock.Keys[s.Key], Tag: domain.TagTx, Network: tx.Network, Hash: tx.ID, Signature: s.Signature,
			})
		}
	}
	if tx.Peer != nil {
		for i := range tx.Peer.Keys {
			checks = append(checks, tx.Peer.MembershipCheck(tx.Network, i))
		}
	}
	return checks
}

// CheckField is the path of the k-th signature of Checks, such as "witnesses[1].signatures[0]".
func (tx *Tx) CheckField(k int) string {
	for i := range tx.Witnesses {
		n := len(tx.Witnesses[i].Signatures)
		if k < n {
			return element("witnesses", i) + "." + element("signatures", k)
		}
		k -= n
	}
	if tx.Peer != nil && k < len(tx.Peer.Keys) {
		return tx.keyField(k) + ".membership"
	}
	return "witnesses"
}

// element is the path of an element of a list.
func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }
