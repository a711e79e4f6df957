package snapshot

import (
	"testing"

	"pgregory.net/rapid"

	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// voters is a group with these weights in billionths of whatever they add up to.
func voters(t rapid.TB, weights ...group.Weight) *group.Group {
	var members []group.Member
	for i, w := range weights {
		key := kit.Key(i).Public()
		members = append(members, group.Member{PeerID: domain.Sum(domain.TagPeer, key[:]), Weight: w, Keys: []group.NodeKey{{Key: key}}})
	}
	g, err := group.New(network, 0, domain.Hash{}, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestChoose: more than 2/3 of the weight under a link that is known, and of those the newest.
func TestChoose(t *testing.T) {
	g := voters(t, group.Split(4)...)
	groupAt := func(link domain.Hash, timeMS uint64) *group.Group {
		if link == g.Link() && timeMS < 40 {
			return g
		}
		return nil
	}
	old := Offer{Manifest: hashed(1), Link: g.Link(), TimeMS: 10}
	young := Offer{Manifest: hashed(2), Link: g.Link(), TimeMS: 20}
	rival := Offer{Manifest: hashed(3), Link: g.Link(), TimeMS: 20}
	foreign := Offer{Manifest: hashed(4), Link: hashed(4), TimeMS: 30}
	late := Offer{Manifest: hashed(5), Link: g.Link(), TimeMS: 40}
	misdated := young
	misdated.TimeMS = 99
	keys := func(offers ...[]Offer) map[domain.PublicKey][]Offer {
		m := make(map[domain.PublicKey][]Offer)
		for i, list := range offers {
			m[kit.Key(i).Public()] = list
		}
		return m
	}
	both := []Offer{young, old}
	for name, c := range map[string]struct {
		offers map[domain.PublicKey][]Offer
		want   domain.Hash
	}{
		"none":                   {nil, domain.Hash{}},
		"half":                   {keys(both, both), domain.Hash{}},
		"three":                  {keys(both, both, both), young.Manifest},
		"all":                    {keys(both, both, both, both), young.Manifest},
		"one lags":               {keys([]Offer{old}, both, both), old.Manifest},
		"one differs":            {keys([]Offer{rival}, both, both, both), young.Manifest},
		"two and two":            {keys([]Offer{rival}, []Offer{rival, old}, both, both), old.Manifest},
		"said twice":             {keys([]Offer{young, young}, []Offer{young, young}), domain.Hash{}},
		"with strangers":         {map[domain.PublicKey][]Offer{kit.Key(0).Public(): both, kit.Key(1).Public(): both, kit.Key(7).Public(): both}, domain.Hash{}},
		"a link that is unknown": {keys([]Offer{foreign}, []Offer{foreign}, []Offer{foreign}), domain.Hash{}},
		"beyond its time":        {keys([]Offer{late, old}, []Offer{late, old}, []Offer{late, old}), old.Manifest},
		"another time":           {keys([]Offer{misdated}, both, both), domain.Hash{}},
	} {
		got, ok := Choose(c.offers, groupAt)
		if got.Manifest != c.want || ok != !c.want.IsZero() {
			t.Errorf("%s: %+v, %v", name, got, ok)
		}
		if ok && !group.Quorum(got.Weight) {
			t.Errorf("%s: weight %d", name, got.Weight)
		}
	}
}

// TestOffer: only the key's signature over the manifest's hash, on this network, makes an offer; and a manifest is only
// the one that was offered, with what was said of it.
func TestOffer(t *testing.T) {
	m := &Manifest{Network: network, Link: hashed(1), TimeMS: 5, Pieces: []domain.Hash{hashed(2)}}
	o := Sign(kit.Key(0), m)
	if !o.Verify(kit.Key(0).Public(), network) || !o.Is(m) {
		t.Error("an offer does not verify")
	}
	for i := range o.Signature {
		bad := o
		bad.Signature[i] ^= 1
		if bad.Verify(kit.Key(0).Public(), network) {
			t.Errorf("byte %d of the signature does not count", i)
		}
	}
	for i := range o.Manifest {
		bad := o
		bad.Manifest[i] ^= 1
		if bad.Verify(kit.Key(0).Public(), network) {
			t.Errorf("byte %d of the manifest's hash does not count", i)
		}
	}
	if o.Verify(kit.Key(1).Public(), network) || o.Verify(kit.Key(0).Public(), hashed(1)) {
		t.Error("another key's or network's")
	}
	for name, change := range map[string]func(*Manifest){
		"link":   func(m *Manifest) { m.Link[0] ^= 1 },
		"time":   func(m *Manifest) { m.TimeMS++ },
		"pieces": func(m *Manifest) { m.Pieces = nil },
	} {
		other := *m
		change(&other)
		if o.Is(&other) {
			t.Errorf("another %s", name)
		}
	}
	lie := o
	lie.TimeMS++
	if lie.Is(m) {
		t.Error("said to be of another time")
	}
}
