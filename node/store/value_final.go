package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
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

// appendFinal and decodeFinal are records of ClassFinal. With interned keys an edge takes about 7
// bytes instead of 45.
func appendFinal(b []byte, f *FinalInfo, in *fresh) []byte {
	b = binary.BigEndian.AppendUint64(append(b, version1), f.Seq)
	b = binary.BigEndian.AppendUint64(b, f.FinalMS)
	b = binary.AppendUvarint(b, uint64(f.Round))
	b = binary.AppendUvarint(b, f.GroupEpoch)
	b = binary.AppendUvarint(b, uint64(in.number(f.Link)))
	b = binary.AppendUvarint(b, uint64(len(f.Edges)))
	for i := range f.Edges {
		e := &f.Edges[i]
		b = binary.AppendUvarint(b, uint64(in.number(e.Key)))
		b = binary.AppendUvarint(b, uint64(e.SigningEpoch))
		b = binary.AppendUvarint(b, e.Height)
		b = binary.AppendUvarint(b, uint64(e.Leaf))
	}
	return b
}

func decodeFinal(value []byte, in *interned) (*FinalInfo, error) {
	r := read(value)
	interned := func() (v [32]byte) {
		v, ok := in.value(r.uint32())
		r.bad = r.bad || !ok
		return v
	}
	f := &FinalInfo{
		Seq:        r.uint64(),
		FinalMS:    r.uint64(),
		Round:      r.uint32(),
		GroupEpoch: r.uvarint(),
		Link:       interned(),
	}
	// An edge takes at least four bytes: nothing is allocated for more than can be there.
	n := r.uvarint()
	if r.bad || n > uint64(len(r.rest))/4 {
		return nil, corrupt("final record")
	}
	f.Edges = make([]EdgeRef, n)
	for i := range f.Edges {
		f.Edges[i] = EdgeRef{Key: interned(), SigningEpoch: r.uint32(), Height: r.uvarint(), Leaf: r.uint32()}
	}
	if err := r.done("final record"); err != nil {
		return nil, err
	}
	return f, nil
}
