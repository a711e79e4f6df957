package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

var network = domain.Sum(domain.TagGenesis, []byte("a network for tests"))

func hashed(n uint64) domain.Hash {
	return domain.Sum(domain.TagTx, binary.BigEndian.AppendUint64(nil, n))
}

// drawRecords are some records in order.
func drawRecords(t *rapid.T) (list []Record) {
	for kind := Final; kind <= Product; kind++ {
		n := rapid.IntRange(0, 30).Draw(t, "n")
		for i := range n {
			h := hashed(uint64(i) + rapid.Uint64Range(0, 1<<40).Draw(t, "key"))
			r := Record{Kind: kind, Key: append(bytes.Clone(h[:]), 0, 0, 0, byte(i))[:keyLen[kind]]}
			switch kind {
			case Spent:
				by := hashed(uint64(i))
				r.Value = by[:]
			case Output, Product:
				r.Value = bytes.Repeat([]byte{byte(i)}, rapid.IntRange(0, 300).Draw(t, "length"))
			}
			list = append(list, r)
		}
	}
	slices.SortFunc(list, func(a, b Record) int {
		if a.Kind != b.Kind {
			return int(a.Kind) - int(b.Kind)
		}
		return bytes.Compare(a.Key, b.Key)
	})
	return slices.CompactFunc(list, func(a, b Record) bool { return a.Kind == b.Kind && bytes.Equal(a.Key, b.Key) })
}

// pack cuts records into pieces.
func pack(t rapid.TB, list []Record, size int) ([][]byte, []domain.Hash, Counts) {
	var pieces [][]byte
	p := NewPacker(size, func(b []byte) error { pieces = append(pieces, bytes.Clone(b)); return nil })
	for _, r := range list {
		if err := p.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	names, counts, err := p.Done()
	if err != nil || len(names) != len(pieces) {
		t.Fatalf("%d pieces, %d names, %v", len(pieces), len(names), err)
	}
	return pieces, names, counts
}

// TestPiecesHoldEveryRecord: what is packed comes out again, in order, from pieces within their size, each of which
// would not have held the record after it.
func TestPiecesHoldEveryRecord(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		list := drawRecords(t)
		const size = 400
		pieces, names, counts := pack(t, list, size)
		var u Unpacker
		i := 0
		for j, piece := range pieces {
			if len(piece) > size || names[j] != HashPiece(piece) {
				t.Fatalf("piece %d of %d bytes", j, len(piece))
			}
			if err := u.Piece(piece, func(r Record) error {
				if w := list[i]; r.Kind != w.Kind || !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) {
					t.Fatalf("record %d is %v, want %v", i, r, w)
				}
				i++
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			if i < len(list) && len(piece)+len(list[i].append(nil)) <= size {
				t.Fatalf("piece %d has room for record %d", j, i)
			}
		}
		if err := u.Done(counts); err != nil || i != len(list) {
			t.Fatalf("%d of %d records, %v", i, len(list), err)
		}
		counts.Spent++
		if err := u.Done(counts); !errors.Is(err, ErrPiece) {
			t.Fatalf("with a record missing: %v", err)
		}
	})
}

// TestBadPiecesAreRefused: pieces out of order, cut short, or made of other bytes.
func TestBadPiecesAreRefused(t *testing.T) {
	id, value := hashed(1), hashed(2)
	final := func(h domain.Hash) []byte { return append([]byte{byte(Final)}, h[:]...) }
	output := func(length ...byte) []byte {
		return slices.Concat([]byte{byte(Output)}, id[:], []byte{0, 0, 0, 1}, length)
	}
	low, high := id, value
	if low.Compare(high) > 0 {
		low, high = high, low
	}
	for name, piece := range map[string][]byte{
		"empty":            {},
		"too long":         make([]byte, MaxPiece+1),
		"kind 0":           append([]byte{0}, id[:]...),
		"kind 5":           append([]byte{5}, id[:]...),
		"half a key":       final(id)[:20],
		"kind alone":       {byte(Final)},
		"twice":            append(final(id), final(id)...),
		"descending":       append(final(high), final(low)...),
		"an earlier kind":  append(output(0), final(id)...),
		"no length":        output(),
		"long length":      output(0x80, 0),
		"endless length":   output(bytes.Repeat([]byte{0xff}, 11)...),
		"value cut":        output(5, 1, 2),
		"a spender cut":    slices.Concat([]byte{byte(Spent)}, id[:], []byte{0, 0, 0, 1}, value[:31]),
		"huge value":       output(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01),
		"bytes at the end": append(final(id), 1),
	} {
		var u Unpacker
		if err := u.Piece(piece, func(Record) error { return nil }); !errors.Is(err, ErrPiece) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := NewPacker(40, func([]byte) error { return nil })
	if err := p.Add(Record{Kind: Output, Key: append(id[:], 0, 0, 0, 1), Value: make([]byte, 40)}); !errors.Is(err, ErrPiece) {
		t.Errorf("a record longer than a piece: %v", err)
	}
	if err := p.Add(Record{Kind: Final, Key: id[:]}); !errors.Is(err, ErrPiece) {
		t.Errorf("an earlier kind packed: %v", err)
	}
}

// FuzzPiece: no bytes make the unpacker panic, and what it takes is packed into the same bytes again.
func FuzzPiece(f *testing.F) {
	id := hashed(1)
	f.Add(append([]byte{byte(Final)}, id[:]...))
	f.Add(slices.Concat([]byte{byte(Output)}, id[:], []byte{0, 0, 0, 1, 2, 7, 7}))
	f.Fuzz(func(t *testing.T, piece []byte) {
		var u Unpacker
		var again []byte
		if u.Piece(piece, func(r Record) error { again = r.append(again); return nil }) == nil && !bytes.Equal(again, piece) {
			t.Errorf("%x is packed as %x", piece, again)
		}
	})
}

// TestManifest: one encoding, read back as it was; another network and other lengths are refused. The hash is fixed.
func TestManifest(t *testing.T) {
	m := &Manifest{
		Network: network, Link: hashed(1), Epoch: 2, TimeMS: 3, Counts: Counts{4, 5, 6, 7}, Pieces: []domain.Hash{hashed(8), hashed(9)},
	}
	raw := m.Encode()
	got, err := DecodeManifest(raw, network)
	if err != nil || got.Hash() != m.Hash() || got.Counts != m.Counts || !slices.Equal(got.Pieces, m.Pieces) || got.TimeMS != 3 || got.Epoch != 2 || got.Link != m.Link {
		t.Errorf("%+v, %v", got, err)
	}
	const want = "498fada0be8cd0f8b3c4941218c386a068f96dc8a616de830194569fc8fb5de8"
	if h := m.Hash(); hex.EncodeToString(h[:]) != want {
		t.Errorf("hash %s", h)
	}
	for name, bad := range map[string][]byte{
		"short": raw[:manifestHead-1], "half a hash": raw[:len(raw)-1], "empty": nil, "long": make([]byte, MaxManifest+domain.Size),
		"another network": append([]byte{raw[0] ^ 1}, raw[1:]...),
	} {
		if _, err := DecodeManifest(bad, network); !errors.Is(err, ErrManifest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	seen := map[domain.Hash]bool{m.Hash(): true}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if h := HashManifest(bad); seen[h] {
			t.Fatalf("byte %d does not count", i)
		}
	}
}
