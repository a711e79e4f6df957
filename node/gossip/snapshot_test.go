package gossip

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/proto/domain"
)

// A snapshot is offered, and its parts are pulled. Each byte of what a liar sends in place of them is noticed and costs
// the liar its standing; not having something costs nothing.
func TestPullSnapshots(t *testing.T) {
	piece := append([]byte{byte(snapshot.Final)}, testNetwork[:]...)
	m := &snapshot.Manifest{Network: testNetwork, Link: domain.Hash{7}, TimeMS: 5, Counts: snapshot.Counts{Finals: 1}, Pieces: []domain.Hash{snapshot.HashPiece(piece)}}
	honest, liar, empty := newStore(), newStore(), newStore()
	n, keys, _ := pullers(t, nil, honest, liar, empty)
	points := func(key domain.PublicKey) float64 { return n.ledger.points(key, time.Now()) }
	signer := func(i int) domain.PrivateKey {
		for j := range 20 {
			if testKey(j).Public() == keys[i] {
				return testKey(j)
			}
		}
		t.Fatal("whose key is it?")
		return domain.PrivateKey{}
	}
	honest.offers = Snapshots{Offers: []snapshot.Offer{snapshot.Sign(signer(0), m)}, Links: []domain.Hash{{9}}}
	honest.pieces = map[uint32][]byte{0: m.Encode(), 1: piece}
	liar.offers = Snapshots{Offers: []snapshot.Offer{snapshot.Sign(signer(0), m)}} // another's word

	got, err := n.PullSnapshots(t.Context(), keys[0], 0)
	if err != nil || len(got.Offers) != 1 || got.Offers[0] != honest.offers.Offers[0] || !slices.Equal(got.Links, honest.offers.Links) {
		t.Errorf("%+v, %v", got, err)
	}
	for i, want := range []domain.Hash{m.Hash(), m.Pieces[0]} {
		raw, err := n.PullPiece(t.Context(), keys[0], m.Hash(), uint32(i), want)
		if err != nil || !bytes.Equal(raw, honest.pieces[uint32(i)]) {
			t.Errorf("part %d: %x, %v", i, raw, err)
		}
	}
	if got, err := n.PullSnapshots(t.Context(), keys[2], 0); err != nil || len(got.Offers) != 0 {
		t.Errorf("of a node that offers nothing: %+v, %v", got, err)
	}
	if _, err := n.PullPiece(t.Context(), keys[2], m.Hash(), 1, m.Pieces[0]); !errors.Is(err, ErrMissing) {
		t.Errorf("of a node that has nothing: %v", err)
	}
	if p := points(keys[2]); p != 0 {
		t.Errorf("having nothing costs %v", p)
	}

	if _, err := n.PullSnapshots(t.Context(), keys[1], 0); err == nil || points(keys[1]) == 0 {
		t.Errorf("another's word is taken: %v", err)
	}
	for part, raw := range honest.pieces {
		want := m.Hash()
		if part > 0 {
			want = m.Pieces[0]
		}
		for i := range raw {
			bad := bytes.Clone(raw)
			bad[i] ^= 1
			liar.mu.Lock()
			liar.pieces = map[uint32][]byte{part: bad}
			liar.mu.Unlock()
			n.ledger.mu.Lock()
			clear(n.ledger.records)
			n.ledger.mu.Unlock()
			if _, err := n.PullPiece(t.Context(), keys[1], m.Hash(), part, want); err == nil || points(keys[1]) == 0 {
				t.Fatalf("part %d with another byte %d: %v, standing %v", part, i, err, points(keys[1]))
			}
		}
	}
	for name, request := range map[string][]byte{"nothing": {}, "no manifest": encodePiece(domain.Hash{}, 1)[34:], "twice": append(encodePiece(domain.Hash{1}, 1), encodePiece(domain.Hash{1}, 1)...)} {
		if _, err := answer(t.Context(), pullPiece, domain.PublicKey{}, request, honest); !errors.Is(err, errRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Of more links than fit an answer the asker hears all, by saying how many it knows.
func TestPullLinksOfSnapshots(t *testing.T) {
	s := newStore()
	for i := range MaxSnapshotLinks + 5 {
		s.offers.Links = append(s.offers.Links, domain.Sum("test", []byte{byte(i), byte(i >> 8)}))
	}
	n, keys, _ := pullers(t, nil, s)
	var heard []domain.Hash
	for _, want := range []int{MaxSnapshotLinks, 5, 0} {
		got, err := n.PullSnapshots(t.Context(), keys[0], len(heard))
		if err != nil || len(got.Links) != want {
			t.Fatalf("%d links after %d, %v", len(got.Links), len(heard), err)
		}
		heard = append(heard, got.Links...)
	}
	if !slices.Equal(heard, s.offers.Links) {
		t.Error("other links")
	}
	if got, err := n.PullSnapshots(t.Context(), keys[0], 1<<31); err != nil || len(got.Links) != 0 {
		t.Errorf("%d links after more than there are, %v", len(got.Links), err)
	}
}
