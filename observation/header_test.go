package observation

import (
	"encoding/binary"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func drawHeader(t *rapid.T) Header {
	h := Header{
		Network:      drawHash(t, "network"),
		Key:          domain.PublicKey(drawHash(t, "key")),
		SigningEpoch: rapid.Uint32().Draw(t, "signing epoch"),
		Height:       rapid.Uint64Range(1, math.MaxUint64).Draw(t, "height"),
		GroupEpoch:   rapid.Uint64().Draw(t, "group epoch"),
		Link:         drawHash(t, "link"),
		Root:         drawHash(t, "root"),
		LeafCount:    rapid.Uint32Range(0, MaxLeaves).Draw(t, "leaf count"),
		TimeMS:       rapid.Uint64().Draw(t, "time"),
	}
	if h.Height > 1 {
		h.Previous = drawHash(t, "previous")
		h.Previous[0] |= 1
	}
	return h
}

func TestHeaderRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawHeader(t)
		b := want.Encode()
		got, err := DecodeHeader(b[:])
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
		if want.Hash() != domain.Sum(domain.TagObservation, b[:]) {
			t.Fatal("hash is not that of the encoding")
		}
	})
}

// TestHeaderLayout reads each field where the specification puts it.
func TestHeaderLayout(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeader(t)
		b := h.Encode()
		at := func(offset, size int) []byte { return b[offset : offset+size] }
		for name, same := range map[string]bool{
			"network":       domain.Hash(at(0, 32)) == h.Network,
			"key":           domain.PublicKey(at(32, 32)) == h.Key,
			"signing epoch": binary.BigEndian.Uint32(at(64, 4)) == h.SigningEpoch,
			"height":        binary.BigEndian.Uint64(at(68, 8)) == h.Height,
			"previous":      domain.Hash(at(76, 32)) == h.Previous,
			"group epoch":   binary.BigEndian.Uint64(at(108, 8)) == h.GroupEpoch,
			"link":          domain.Hash(at(116, 32)) == h.Link,
			"root":          domain.Hash(at(148, 32)) == h.Root,
			"leaf count":    binary.BigEndian.Uint32(at(180, 4)) == h.LeafCount,
			"time":          binary.BigEndian.Uint64(at(184, 8)) == h.TimeMS,
		} {
			if !same {
				t.Errorf("%s is not where it belongs", name)
			}
		}
	})
}

func TestHeaderRefused(t *testing.T) {
	good := Header{Height: 2, Previous: domain.Hash{1}, LeafCount: 3}
	for _, c := range []struct {
		name   string
		change func(h *Header)
		reason notaryv1.Reason
		field  string
	}{
		{"height 0", func(h *Header) { h.Height = 0 }, notaryv1.Reason_REASON_INVALID_ARGUMENT, "height"},
		{"first with previous", func(h *Header) { h.Height = 1 }, notaryv1.Reason_REASON_INVALID_ARGUMENT, "previous"},
		{"second without", func(h *Header) { h.Previous = domain.Hash{} }, notaryv1.Reason_REASON_INVALID_ARGUMENT, "previous"},
		{"too many leaves", func(h *Header) { h.LeafCount = MaxLeaves + 1 }, notaryv1.Reason_REASON_LIMIT_EXCEEDED, "leaf_count"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := good
			c.change(&h)
			b := h.Encode()
			_, err := DecodeHeader(b[:])
			wantRefusal(t, err, c.reason, c.field)
		})
	}
	for _, size := range []int{0, HeaderSize - 1, HeaderSize + 1} {
		_, err := DecodeHeader(make([]byte, size))
		wantRefusal(t, err, notaryv1.Reason_REASON_MALFORMED, "")
	}
}
