package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Rejection is why a transaction was refused for good.
type Rejection struct {
	Tx domain.Hash
	// Rival is the final transaction that took one of its outpoints; zero where that is not why.
	Rival  domain.Hash
	Reason notaryv1.Reason
	// Field and Detail are for people, cut at 256 bytes each.
	Field, Detail string
	// TimeMS is when, Unix milliseconds at this node.
	TimeMS uint64
}

// maxText is the length in bytes at which texts for people are cut.
const maxText = 256

// rejectedValue is a record of ClassRejected; Seq is its place in the order of rejections.
type rejectedValue struct {
	Seq uint64
	Rejection
}

func (v *rejectedValue) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, version1), v.Seq)
	b = binary.BigEndian.AppendUint64(b, v.TimeMS)
	b = append(b, v.Rival[:]...)
	b = binary.AppendUvarint(b, uint64(v.Reason))
	return appendText(appendText(b, v.Field), v.Detail)
}

func decodeRejected(id domain.Hash, value []byte) (rejectedValue, error) {
	r := read(value)
	v := rejectedValue{Seq: r.uint64(), Rejection: Rejection{Tx: id, TimeMS: r.uint64(), Rival: r.hash()}}
	reason := r.uvarint()
	if reason > 0x7fff_ffff {
		r.bad = true
	}
	v.Reason = notaryv1.Reason(reason)
	v.Field, v.Detail = r.text(), r.text()
	return v, r.done("rejection")
}

// headValue is a record of ClassHead: the newest observation up to which a chain has no gap.
type headValue struct {
	Height uint64
	Hash   domain.Hash
}

func (v headValue) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, version1), v.Height)
	return append(b, v.Hash[:]...)
}

func decodeHead(value []byte) (headValue, error) {
	r := read(value)
	v := headValue{Height: r.uint64(), Hash: r.hash()}
	return v, r.done("head")
}

// appendTime and decodeTime are records of ClassPending: when this node first voted.
func appendTime(b []byte, ms uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, version1), ms)
}

func decodeTime(value []byte) (uint64, error) {
	r := read(value)
	ms := r.uint64()
	return ms, r.done("pending transaction")
}

// Counts are exact numbers that would otherwise take a scan.
type Counts struct {
	// Finals is the number of final transactions, without the genesis document.
	Finals uint64
	// LiveOutputs is the number of live outputs.
	LiveOutputs uint64
	// Rejected is the number of rejections that are remembered.
	Rejected uint64
	// Pending is the number of transactions that this node voted on and that are not decided.
	Pending uint64
}

// countsValue is the counter record in ClassMeta. The final log holds the sequence numbers 1 to
// Finals, the rejected log those from RejectedFirst up to RejectedNext, some of which may be gone.
type countsValue struct {
	Finals, Live, Rejected, RejectedFirst, RejectedNext uint64
}

func (v countsValue) append(b []byte) []byte {
	b = append(b, version1)
	for _, n := range [...]uint64{v.Finals, v.Live, v.Rejected, v.RejectedFirst, v.RejectedNext} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

func decodeCounts(value []byte) (countsValue, error) {
	r := read(value)
	v := countsValue{r.uint64(), r.uint64(), r.uint64(), r.uint64(), r.uint64()}
	return v, r.done("counters")
}
