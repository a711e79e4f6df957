package observation

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// LeafSize is the length in bytes of an encoded leaf.
const LeafSize = 47

// Offsets within an encoded leaf (docs/spec/observation.md, section 1).
const (
	leafType     = 32
	leafState    = 33
	leafRound    = 34
	leafTime     = 38
	leafReserved = 46
)

// State is what a leaf says of its subject.
type State uint8

// The states. Pending, Accepted, Abstain and Rejected are votes, and votes are on transactions alone.
const (
	Pending  State = State(notaryv1.VoteState_VOTE_STATE_PENDING)
	Accepted State = State(notaryv1.VoteState_VOTE_STATE_ACCEPTED)
	Abstain  State = State(notaryv1.VoteState_VOTE_STATE_ABSTAIN)
	Rejected State = State(notaryv1.VoteState_VOTE_STATE_REJECTED)
	Seen     State = State(notaryv1.VoteState_VOTE_STATE_SEEN)
	// Closed, of a link, ends what is signed under the link of the header.
	Closed State = State(notaryv1.VoteState_VOTE_STATE_CLOSED)
	// Inherited states a lock that the signer did not make itself (docs/spec/voting.md, section 7).
	Inherited State = State(notaryv1.VoteState_VOTE_STATE_INHERITED)
)

// String is the state's name in capitals.
func (s State) String() string {
	switch s {
	case Pending:
		return "PENDING"
	case Accepted:
		return "ACCEPTED"
	case Abstain:
		return "ABSTAIN"
	case Rejected:
		return "REJECTED"
	case Seen:
		return "SEEN"
	case Closed:
		return "CLOSED"
	case Inherited:
		return "INHERITED"
	}
	return "UNSPECIFIED"
}

// MarshalText implements encoding.TextMarshaler with the name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// SubjectType is the kind of thing that a leaf is about.
type SubjectType uint8

// The subject types, with what the subject hash is.
const (
	// SubjectTx is a transaction id.
	SubjectTx SubjectType = SubjectType(notaryv1.SubjectType_SUBJECT_TYPE_TX)
	// SubjectObservation is the header hash of an observation.
	SubjectObservation SubjectType = SubjectType(notaryv1.SubjectType_SUBJECT_TYPE_OBSERVATION)
	// SubjectPeer is a peer id.
	SubjectPeer SubjectType = SubjectType(notaryv1.SubjectType_SUBJECT_TYPE_PEER)
	// SubjectEvidence is the hash of evidence.
	SubjectEvidence SubjectType = SubjectType(notaryv1.SubjectType_SUBJECT_TYPE_EVIDENCE)
	// SubjectLink is the link hash of a group.
	SubjectLink SubjectType = SubjectType(notaryv1.SubjectType_SUBJECT_TYPE_LINK)
)

// Leaf is one statement of a node about one subject.
type Leaf struct {
	Subject domain.Hash
	Type    SubjectType
	State   State
	// Round of the vote, or of the certificate of a lock; 0 for all else.
	Round uint32
	// TimeMS is when the node made the statement, Unix milliseconds by its own clock.
	TimeMS uint64
}

// AppendTo appends the 47 bytes of the leaf.
func (l Leaf) AppendTo(b []byte) []byte {
	b = append(b, l.Subject[:]...)
	b = append(b, byte(l.Type), byte(l.State))
	b = binary.BigEndian.AppendUint32(b, l.Round)
	b = binary.BigEndian.AppendUint64(b, l.TimeMS)
	return append(b, 0)
}

// Encode is the leaf as 47 bytes.
func (l Leaf) Encode() (b [LeafSize]byte) {
	l.AppendTo(b[:0])
	return b
}

// DecodeLeaf reads exactly 47 bytes and refuses a leaf that is not well-formed.
func DecodeLeaf(b []byte) (Leaf, error) {
	if len(b) != LeafSize {
		return Leaf{}, refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "leaf of %d bytes, want %d", len(b), LeafSize)
	}
	if err := checkLeaf(b); err != nil {
		return Leaf{}, err
	}
	return leafAt(b), nil
}

// leafAt reads a leaf that was checked before.
func leafAt(b []byte) Leaf {
	return Leaf{
		Subject: domain.Hash(b[:leafType]),
		Type:    SubjectType(b[leafType]),
		State:   State(b[leafState]),
		Round:   binary.BigEndian.Uint32(b[leafRound:]),
		TimeMS:  binary.BigEndian.Uint64(b[leafTime:]),
	}
}

// checkLeaf refuses unknown types and states, states that their subject cannot have, a round of what has
// none, and a reserved byte that is not zero. It does not allocate on success.
func checkLeaf(b []byte) error {
	kind, state := SubjectType(b[leafType]), State(b[leafState])
	switch {
	case kind < SubjectTx || kind > SubjectLink:
		return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "type", "subject type %d", kind)
	case state < Pending || state > Inherited:
		return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "state", "state %d", state)
	case !fits(kind, state):
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "state", "%s does not go with subject type %d", state, kind)
	case (kind != SubjectTx || state == Seen) && binary.BigEndian.Uint32(b[leafRound:]) != 0:
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "round", "only votes and locks have one")
	case b[leafReserved] != 0:
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "reserved", "reserved byte is %d", b[leafReserved])
	}
	return nil
}

// fits reports whether a state may be said of a kind of subject.
func fits(kind SubjectType, s State) bool {
	switch kind {
	case SubjectTx:
		return s != Closed
	case SubjectLink:
		return s == Closed || s == Inherited
	}
	return s == Seen
}
