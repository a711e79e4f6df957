package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// EdgeRef places one ACCEPTED leaf: an observation by its chain and height, and the leaf in it.
type EdgeRef struct {
	Key          domain.PublicKey
	SigningEpoch uint32
	Height       uint64
	// Leaf is the position of the leaf in its batch.
	Leaf uint32
}

// FinalInfo is how and when a transaction became final here.
type FinalInfo struct {
	// Seq is its place in the final log; the first is 1.
	Seq uint64
	// FinalMS is when, Unix milliseconds at this node.
	FinalMS uint64
	// Round, GroupEpoch and Link are those of the votes that made it final.
	Round      uint32
	GroupEpoch uint64
	Link       domain.Hash
	// Edges are the ACCEPTED leaves of more than two thirds of that group's weight.
	Edges []EdgeRef
}

// ledgerValue is a record of ClassLedger, less the place, which is its key.
type ledgerValue struct {
	Tx domain.Hash
	FinalInfo
	// Raw are the exact bytes of the transaction; none where it was final before this store began.
	Raw []byte

	tx *utxo.Tx // Raw taken apart, once somebody has asked for it
}

// append writes version 1 | id 32 | time 8 | uv round | uv epoch | uv link | uv number of edges | edges | bytes. With interned
// keys an edge takes about 7 bytes instead of 45.
func (v *ledgerValue) append(b []byte, in *fresh) []byte {
	b = appendID(b, v.Tx)
	b = binary.BigEndian.AppendUint64(b, v.FinalMS)
	b = binary.AppendUvarint(b, uint64(v.Round))
	b = binary.AppendUvarint(b, v.GroupEpoch)
	b = binary.AppendUvarint(b, uint64(in.number(v.Link)))
	b = binary.AppendUvarint(b, uint64(len(v.Edges)))
	for i := range v.Edges {
		e := &v.Edges[i]
		b = binary.AppendUvarint(b, uint64(in.number(e.Key)))
		b = binary.AppendUvarint(b, uint64(e.SigningEpoch))
		b = binary.AppendUvarint(b, e.Height)
		b = binary.AppendUvarint(b, uint64(e.Leaf))
	}
	return append(b, v.Raw...)
}

// decodeLedger shares memory with value.
func decodeLedger(seq uint64, value []byte, in *interned) (*ledgerValue, error) {
	r := read(value)
	interned := func() (v [32]byte) {
		v, ok := in.value(r.uint32())
		r.bad = r.bad || !ok
		return v
	}
	v := &ledgerValue{Tx: r.hash(), FinalInfo: FinalInfo{
		Seq:        seq,
		FinalMS:    r.uint64(),
		Round:      r.uint32(),
		GroupEpoch: r.uvarint(),
		Link:       interned(),
	}}
	// An edge takes at least four bytes: nothing is allocated for more than can be there.
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest))/4 {
		return nil, corrupt("final transaction")
	}
	v.Edges = make([]EdgeRef, n)
	for i := range v.Edges {
		v.Edges[i] = EdgeRef{Key: interned(), SigningEpoch: r.uint32(), Height: r.uvarint(), Leaf: r.uint32()}
	}
	v.Raw = r.tail()
	if err := r.done("final transaction"); err != nil {
		return nil, err
	}
	return v, nil
}

// ledgerID is the id in a record of ClassLedger.
func ledgerID(value []byte) (domain.Hash, error) {
	r := read(value)
	id := r.hash()
	if r.bad {
		return id, corrupt("final transaction")
	}
	return id, nil
}

// appendPlace and decodePlace are records of ClassFinal.
func appendPlace(b []byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, version1), seq)
}

func decodePlace(value []byte) (uint64, error) {
	r := read(value)
	seq := r.uint64()
	return seq, r.done("place of a final transaction")
}
