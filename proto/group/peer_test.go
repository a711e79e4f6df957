package group

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

func privateKey(b byte) domain.PrivateKey { return domain.NewPrivateKey(hash(b)) }

// somebody is metadata with two keys and two labels.
func somebody() *Peer {
	p := &Peer{
		ID: PeerID(privateKey(1).Public()), Master: privateKey(1).Public(), Version: 3, Nonce: 77,
		Labels: []Label{{hash(4), -1000}, {hash(5), 1000}}, Name: "Ada", Addresses: []string{"/dns4/example.org/tcp/7700"},
	}
	a, b := privateKey(2), privateKey(3)
	if a.Public().Compare(b.Public()) > 0 {
		a, b = b, a
	}
	p.Keys = []CertifiedKey{Certify(a, 1, network, p.ID), Certify(b, 2, network, p.ID).WithBLS(b)}
	return p
}

func TestPeer(t *testing.T) {
	want := somebody()
	b, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodePeer(b)
	if err != nil {
		t.Fatal(err)
	}
	again, err := got.Encode()
	if err != nil || !bytes.Equal(again, b) || got.ID != want.ID || len(got.Keys) != 2 || got.Labels[1] != want.Labels[1] {
		t.Errorf("%+v, %v", got, err)
	}
	if at := got.Possessed(); at != -1 {
		t.Errorf("BLS key %d is not possessed", at)
	}
	got.Keys[1].Possession[5] ^= 1
	if at := got.Possessed(); at != 1 {
		t.Errorf("a forged possession: %d", at)
	}
	for i := range got.Keys {
		c := got.MembershipCheck(network, i)
		if !c.Verify() {
			t.Errorf("membership %d", i)
		}
		if c = got.MembershipCheck(link, i); c.Verify() {
			t.Errorf("membership %d on another network", i)
		}
		got.ID = hash(9)
		if c = got.MembershipCheck(network, i); c.Verify() {
			t.Errorf("membership %d of another peer", i)
		}
		got.ID = want.ID
	}
}

func TestPeerRefuses(t *testing.T) {
	const (
		absent   = notaryv1.Reason_REASON_MISSING_FIELD
		order    = notaryv1.Reason_REASON_NON_CANONICAL
		argument = notaryv1.Reason_REASON_INVALID_ARGUMENT
	)
	for name, c := range map[string]struct {
		edit   func(*notaryv1.PeerMetadata)
		reason notaryv1.Reason
		field  string
	}{
		"no master key":        {func(p *notaryv1.PeerMetadata) { p.MasterKey = nil }, absent, "master_key"},
		"master key of zeros":  {func(p *notaryv1.PeerMetadata) { p.MasterKey = make([]byte, 32) }, absent, "master_key"},
		"no version":           {func(p *notaryv1.PeerMetadata) { p.Version = 0 }, absent, "version"},
		"no key":               {func(p *notaryv1.PeerMetadata) { p.Keys[1].Key = nil }, absent, "keys[1].key.key"},
		"no membership":        {func(p *notaryv1.PeerMetadata) { p.Keys[0].Membership = nil }, absent, "keys[0].membership"},
		"keys descending":      {func(p *notaryv1.PeerMetadata) { p.Keys[0], p.Keys[1] = p.Keys[1], p.Keys[0] }, order, "keys[1]"},
		"key twice":            {func(p *notaryv1.PeerMetadata) { p.Keys[1] = p.Keys[0] }, order, "keys[1]"},
		"labels descending":    {func(p *notaryv1.PeerMetadata) { p.Labels[0], p.Labels[1] = p.Labels[1], p.Labels[0] }, order, "labels[1].peer_id"},
		"label of nobody":      {func(p *notaryv1.PeerMetadata) { p.Labels[0].PeerId = nil }, absent, "labels[0].peer_id"},
		"label too low":        {func(p *notaryv1.PeerMetadata) { p.Labels[0].Score = -1001 }, argument, "labels[0].score"},
		"label too high":       {func(p *notaryv1.PeerMetadata) { p.Labels[1].Score = 1001 }, argument, "labels[1].score"},
		"label of oneself":     {func(p *notaryv1.PeerMetadata) { id := somebody().ID; p.Labels[0].PeerId = id[:] }, argument, "labels[0].peer_id"},
		"no address":           {func(p *notaryv1.PeerMetadata) { p.Addresses[0] = "" }, absent, "addresses[0]"},
		"BLS key unproven":     {func(p *notaryv1.PeerMetadata) { p.Keys[1].BlsPossession = nil }, absent, "keys[1].bls_possession"},
		"possession of no key": {func(p *notaryv1.PeerMetadata) { p.Keys[0].BlsPossession = make([]byte, 96) }, argument, "keys[0].bls_possession"},
	} {
		b, err := somebody().Encode()
		if err != nil {
			t.Fatal(err)
		}
		var p notaryv1.PeerMetadata
		if err := proto.Unmarshal(b, &p); err != nil {
			t.Fatal(err)
		}
		c.edit(&p)
		if b, err = (proto.MarshalOptions{Deterministic: true}).Marshal(&p); err != nil {
			t.Fatal(err)
		}
		_, err = DecodePeer(b)
		var e *refusal.Error
		if !errors.As(err, &e) || e.Reason != c.reason || e.Field != c.field {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWork holds the count of zero bits against a slow one, and FindWork against the definition.
func TestWork(t *testing.T) {
	master := privateKey(1).Public()
	rapid.Check(t, func(t *rapid.T) {
		nonce := rapid.Uint64().Draw(t, "nonce")
		var be [8]byte
		for i := range be {
			be[i] = byte(nonce >> (56 - 8*i))
		}
		h := domain.Sum(domain.TagWork, network[:], master[:], be[:])
		bits := 0
		for bits < 256 && h[bits/8]>>(7-bits%8)&1 == 0 {
			bits++
		}
		if got := Work(network, master, nonce); got != bits {
			t.Fatalf("%d bits, want %d", got, bits)
		}
	})
	for bits := range 10 {
		nonce := FindWork(network, master, bits)
		if Work(network, master, nonce) < bits {
			t.Errorf("%d bits: nonce %d has too few", bits, nonce)
		}
		for lower := range nonce {
			if Work(network, master, lower) >= bits {
				t.Errorf("%d bits: %d is lower than %d", bits, lower, nonce)
			}
		}
	}
	if Work(network, master, 1) == Work(link, master, 1) && Work(network, master, 2) == Work(link, master, 2) && Work(network, master, 3) == Work(link, master, 3) {
		t.Error("work serves every network")
	}
}

// TestNetworkLimits: what is not said has its default.
func TestNetworkLimits(t *testing.T) {
	d := document()
	g, err := MakeGenesis(d)
	if err != nil || g.WorkBits() != DefaultWorkBits || g.EpochMS() != DefaultEpochMS {
		t.Errorf("%v", err)
	}
	d.Limits.WorkBits, d.Limits.EpochMs = 8, 15_000
	if g, err = MakeGenesis(d); err != nil || g.WorkBits() != 8 || g.EpochMS() != 15_000 {
		t.Errorf("%v", err)
	}
}

// FuzzDecodePeer: no crash, and what is read is written back to the same bytes.
func FuzzDecodePeer(f *testing.F) {
	b, err := somebody().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := DecodePeer(bytes.Clone(b))
		if err != nil {
			return
		}
		if again, err := p.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%x is read and written as %x, %v", b, again, err)
		}
	})
}
