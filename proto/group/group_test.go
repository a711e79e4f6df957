package group

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"math/big"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

var (
	network = domain.Sum(domain.TagGenesis, []byte("group test"))
	link    = domain.Sum(domain.TagLink, []byte("the epoch before"))
)

func hash(b byte) (h domain.Hash) {
	for i := range h {
		h[i] = b
	}
	return h
}

func nodeKey(b byte) NodeKey { return NodeKey{Key: domain.PublicKey(hash(b)), SigningEpoch: 1} }

func TestQuorumAndThird(t *testing.T) {
	for w, want := range map[Weight][2]bool{
		0: {false, false}, 333_333_333: {false, false}, 333_333_334: {false, true},
		666_666_666: {false, true}, 666_666_667: {true, true}, Total: {true, true},
	} {
		if got := [2]bool{Quorum(w), Third(w)}; got != want {
			t.Errorf("%d: quorum, third %v, want %v", w, got, want)
		}
	}
	if Quorum(QuorumWeight) || !Quorum(QuorumWeight+1) {
		t.Errorf("QuorumWeight %d is not what must be exceeded", QuorumWeight)
	}
	rapid.Check(t, func(t *rapid.T) {
		w := Weight(rapid.Uint64Range(0, uint64(Total)).Draw(t, "weight"))
		part := big.NewRat(int64(w), int64(Total))
		if Quorum(w) != (part.Cmp(big.NewRat(2, 3)) > 0) || Third(w) != (part.Cmp(big.NewRat(1, 3)) > 0) {
			t.Fatalf("weight %d", w)
		}
		// Two quorums share more than a third: what safety rests on.
		v := Weight(rapid.Uint64Range(0, uint64(Total)).Draw(t, "other"))
		if Quorum(v) && Quorum(w) && !Third(v+w-Total) {
			t.Fatalf("quorums %d and %d", v, w)
		}
	})
}

// genMembers draws members whose weights sum to Total; no key or peer twice.
func genMembers(t *rapid.T) []Member {
	n := rapid.IntRange(1, 8).Draw(t, "members")
	left := Total
	var members []Member
	for i := range n {
		w := left
		if i < n-1 {
			w = Weight(rapid.Uint64Range(1, uint64(left)-uint64(n-i-1)).Draw(t, "weight"))
		}
		left -= w
		m := Member{PeerID: hash(byte(i + 1)), Weight: w}
		for j := range rapid.IntRange(1, 5).Draw(t, "keys") {
			k := nodeKey(byte(16*i + j))
			k.SigningEpoch = rapid.Uint32().Draw(t, "signing epoch")
			if rapid.Bool().Draw(t, "bls") {
				k.BLS = bytes.Repeat([]byte{byte(j)}, 48)
			}
			m.Keys = append(m.Keys, k)
		}
		members = append(members, m)
	}
	return members
}

func genGroup(t *rapid.T) *Group {
	epoch, previous := rapid.Uint64Range(0, 3).Draw(t, "epoch"), domain.Hash{}
	if epoch > 0 {
		previous = link
	}
	var evidence []domain.Hash
	for i := range rapid.IntRange(0, 3).Draw(t, "evidence") {
		evidence = append(evidence, hash(byte(i+1)))
	}
	g, err := New(network, epoch, previous, genMembers(t), evidence)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGroup(t)
		byPeer := make(map[domain.Hash][]Voter)
		var sum Weight
		for i, v := range g.Voters() {
			if i > 0 && g.Voters()[i-1].Key.Compare(v.Key) >= 0 {
				t.Fatal("voters are not ascending")
			}
			if at, ok := g.Voter(v.Key); !ok || at != i || g.Share(v.Key) != v.Share {
				t.Fatalf("voter %d is found at %d", i, at)
			}
			sum += v.Share
			byPeer[v.PeerID] = append(byPeer[v.PeerID], v)
		}
		if sum != Total {
			t.Fatalf("shares sum to %d", sum)
		}
		for _, m := range g.Members() {
			checkShares(t, m, byPeer[m.PeerID])
		}
		if _, ok := g.Voter(domain.PublicKey(hash(255))); ok || g.Share(domain.PublicKey(hash(255))) != 0 {
			t.Fatal("a stranger votes")
		}
	})
}

// checkShares: they sum to the member's weight, differ by one at most, and the lowest keys have more.
func checkShares(t *rapid.T, m Member, voters []Voter) {
	var sum Weight
	for i, v := range voters {
		sum += v.Share
		if i > 0 && (v.Share > voters[i-1].Share || voters[0].Share-v.Share > 1) {
			t.Fatalf("shares %v", voters)
		}
	}
	if sum != m.Weight || len(voters) != len(m.Keys) {
		t.Fatalf("%d of %d in %d shares", sum, m.Weight, len(voters))
	}
}

func TestDecodeUndoesBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGroup(t)
		h, err := Decode(g.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(h.Bytes(), g.Bytes()) || h.Link() != g.Link() || h.Link() != domain.Sum(domain.TagLink, g.Bytes()) ||
			h.Network() != network || h.Epoch() != g.Epoch() || h.Previous() != g.Previous() || !slices.Equal(h.Evidence(), g.Evidence()) {
			t.Fatalf("%+v, want %+v", h, g)
		}
		if !slices.EqualFunc(h.Voters(), g.Voters(), func(a, b Voter) bool {
			return a.Key == b.Key && a.SigningEpoch == b.SigningEpoch && bytes.Equal(a.BLS, b.BLS) && a.PeerID == b.PeerID && a.Share == b.Share
		}) {
			t.Fatal("other voters")
		}
	})
}

// TestOrderDoesNotMatter: a group is a set of members.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		members := genMembers(t)
		evidence := []domain.Hash{hash(2), hash(1)}
		g, err := New(network, 1, link, members, evidence)
		if err != nil {
			t.Fatal(err)
		}
		members = rapid.Permutation(members).Draw(t, "members")
		for i := range members {
			members[i].Keys = rapid.Permutation(members[i].Keys).Draw(t, "keys")
		}
		h, err := New(network, 1, link, members, []domain.Hash{hash(1), hash(2)})
		if err != nil || h.Link() != g.Link() {
			t.Fatalf("another group: %v", err)
		}
	})
}

func TestNewRefuses(t *testing.T) {
	one := func(w Weight, keys ...NodeKey) Member { return Member{PeerID: hash(1), Weight: w, Keys: keys} }
	other := Member{PeerID: hash(2), Weight: Total / 2, Keys: []NodeKey{nodeKey(2)}}
	crowd := make([]NodeKey, MaxMemberKeys+1)
	for i := range crowd {
		crowd[i] = nodeKey(byte(i))
	}
	for name, c := range map[string]struct {
		epoch    uint64
		previous domain.Hash
		members  []Member
		evidence []domain.Hash
	}{
		"nobody":                    {},
		"too little":                {members: []Member{one(Total-1, nodeKey(1))}},
		"too much":                  {members: []Member{one(Total, nodeKey(1)), other}},
		"more than the whole":       {members: []Member{one(Total+1, nodeKey(1))}},
		"a weightless member":       {members: []Member{one(Total, nodeKey(1)), {PeerID: hash(3), Keys: []NodeKey{nodeKey(3)}}}},
		"a member without keys":     {members: []Member{one(Total)}},
		"a member with many keys":   {members: []Member{one(Total, crowd...)}},
		"a key twice":               {members: []Member{one(Total, nodeKey(1), nodeKey(1))}},
		"a key of two members":      {members: []Member{one(Total/2, nodeKey(2)), other}},
		"a peer twice":              {members: []Member{one(Total/2, nodeKey(1)), one(Total/2, nodeKey(2))}},
		"half a BLS key":            {members: []Member{one(Total, NodeKey{Key: domain.PublicKey(hash(1)), BLS: make([]byte, 24)})}},
		"a first epoch after one":   {previous: link, members: []Member{one(Total, nodeKey(1))}},
		"a later epoch after none":  {epoch: 1, members: []Member{one(Total, nodeKey(1))}},
		"the same evidence twice":   {epoch: 1, previous: link, members: []Member{one(Total, nodeKey(1))}, evidence: []domain.Hash{hash(1), hash(1)}},
		"a thousand and 25 members": {members: make([]Member, MaxMembers+1)},
	} {
		if _, err := New(network, c.epoch, c.previous, c.members, c.evidence); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_INVALID_ARGUMENT)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestNewTooLarge: a group fits an output, so the largest of both limits together does not.
func TestNewTooLarge(t *testing.T) {
	members := make([]Member, 1000)
	for i := range members {
		m := Member{Weight: Total / 1000}
		m.PeerID = domain.Sum(domain.TagPeer, []byte{byte(i), byte(i >> 8)})
		for j := range 6 {
			m.Keys = append(m.Keys, NodeKey{Key: domain.PublicKey(domain.Sum(domain.TagWork, []byte{byte(i), byte(i >> 8), byte(j)}))})
		}
		members[i] = m
	}
	if _, err := New(network, 0, domain.Hash{}, members, nil); !errors.Is(err, refusal.Because(notaryv1.Reason_REASON_LIMIT_EXCEEDED)) {
		t.Error(err)
	}
	for i := range members {
		members[i].Keys = members[i].Keys[:2]
	}
	if _, err := New(network, 0, domain.Hash{}, members, nil); err != nil {
		t.Error(err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	g, err := New(network, 1, link, []Member{
		{PeerID: hash(1), Weight: Total / 2, Keys: []NodeKey{nodeKey(1), nodeKey(3)}}, {PeerID: hash(2), Weight: Total / 2, Keys: []NodeKey{nodeKey(2)}},
	}, []domain.Hash{hash(1), hash(2)})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		edit   func(*notaryv1.Group)
		reason notaryv1.Reason
	}{
		"no network":            {func(p *notaryv1.Group) { p.Network = nil }, notaryv1.Reason_REASON_MISSING_FIELD},
		"no peer id":            {func(p *notaryv1.Group) { p.Members[0].PeerId = nil }, notaryv1.Reason_REASON_MISSING_FIELD},
		"no node key":           {func(p *notaryv1.Group) { p.Members[0].Keys[0].Key = nil }, notaryv1.Reason_REASON_MISSING_FIELD},
		"members descending":    {func(p *notaryv1.Group) { slices.Reverse(p.Members) }, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"keys descending":       {func(p *notaryv1.Group) { slices.Reverse(p.Members[0].Keys) }, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"evidence descending":   {func(p *notaryv1.Group) { slices.Reverse(p.Evidence) }, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"weight beyond the sum": {func(p *notaryv1.Group) { p.Members[0].Weight = 1 << 63 }, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"weights that wrap":     {func(p *notaryv1.Group) { p.Members[0].Weight = 1<<64 - 1 }, notaryv1.Reason_REASON_INVALID_ARGUMENT},
		"previous cut":          {func(p *notaryv1.Group) { p.Previous = p.Previous[1:] }, notaryv1.Reason_REASON_MALFORMED},
		"epoch 0 with zeros":    {func(p *notaryv1.Group) { p.Epoch, p.Previous = 0, make([]byte, 32) }, notaryv1.Reason_REASON_NON_CANONICAL},
		"evidence cut":          {func(p *notaryv1.Group) { p.Evidence[0] = nil }, notaryv1.Reason_REASON_MALFORMED},
	} {
		var p notaryv1.Group
		if err := proto.Unmarshal(g.Bytes(), &p); err != nil {
			t.Fatal(err)
		}
		c.edit(&p)
		b, err := canonical.Marshal(&p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(b); !errors.Is(err, refusal.Because(c.reason)) {
			t.Errorf("%s: %v, want %s", name, err, refusal.Name(c.reason))
		}
	}
}

// FuzzDecode: no crash, and one encoding for each group.
func FuzzDecode(f *testing.F) {
	g, err := New(network, 0, domain.Hash{}, []Member{{PeerID: hash(1), Weight: Total, Keys: []NodeKey{nodeKey(1)}}}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(g.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := Decode(b); err == nil && !bytes.Equal(g.Bytes(), b) {
			t.Fatalf("%x is read as %x", b, g.Bytes())
		}
	})
}

var update = flag.Bool("update", false, "write the vectors of testdata anew")

// groupVector is testdata/group.json: a group with the shares of its node keys.
type groupVector struct {
	Encoding string        `json:"encoding"`
	Link     string        `json:"link"`
	Voters   []voterVector `json:"voters"`
}

type voterVector struct {
	Key   string `json:"key"`
	Peer  string `json:"peer"`
	Share uint64 `json:"share"`
}

func TestGroupVector(t *testing.T) {
	g, err := New(network, 7, link, []Member{
		{PeerID: hash(1), Weight: 500_000_001, Keys: []NodeKey{nodeKey(4), nodeKey(1), {Key: domain.PublicKey(hash(9)), SigningEpoch: 3, BLS: make([]byte, 48)}}},
		{PeerID: hash(2), Weight: 499_999_999, Keys: []NodeKey{nodeKey(2)}},
	}, []domain.Hash{hash(5)})
	if err != nil {
		t.Fatal(err)
	}
	v := groupVector{Encoding: hex.EncodeToString(g.Bytes()), Link: g.Link().String()}
	for _, x := range g.Voters() {
		v.Voters = append(v.Voters, voterVector{x.Key.String(), x.PeerID.String(), uint64(x.Share)})
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/group.json"
	if *update {
		if err := os.WriteFile(file, append(b, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if kept, err := os.ReadFile(file); err != nil || !bytes.Equal(kept, append(b, '\n')) {
		t.Errorf("%s is no longer what the code makes: %v", file, err)
	}
}

// TestOneByteMakesAnother: whatever byte of a group is changed, it is refused or another group.
func TestOneByteMakesAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := genGroup(t)
		b := bytes.Clone(g.Bytes())
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		h, err := Decode(b)
		if err == nil && (h.Link() == g.Link() || !bytes.Equal(h.Bytes(), b)) {
			t.Fatalf("%x is taken for %x", b, g.Bytes())
		}
	})
}

// TestGroupKeepsNothing: what a group was made of may change afterwards.
func TestGroupKeepsNothing(t *testing.T) {
	keys := []NodeKey{nodeKey(2), nodeKey(1)}
	members := []Member{{PeerID: hash(1), Weight: Total, Keys: keys}}
	evidence := []domain.Hash{hash(2), hash(1)}
	g, err := New(network, 1, link, members, evidence)
	if err != nil {
		t.Fatal(err)
	}
	if keys[0].Key != nodeKey(2).Key || evidence[0] != hash(2) {
		t.Error("sorted what it was given")
	}
	keys[0], members[0].Weight, evidence[0] = nodeKey(9), 1, hash(9)
	if g.Members()[0].Weight != Total || g.Members()[0].Keys[1].Key != nodeKey(2).Key || g.Evidence()[1] != hash(2) {
		t.Error("changed behind its back")
	}
}

// TestNetworksDoNotMix: the same members make another group on another network or after another link.
func TestNetworksDoNotMix(t *testing.T) {
	members := []Member{{PeerID: hash(1), Weight: Total, Keys: []NodeKey{nodeKey(1)}}}
	seen := make(map[domain.Hash]bool)
	for _, n := range []domain.Hash{network, hash(1)} {
		for _, previous := range []domain.Hash{link, hash(2)} {
			for epoch := range uint64(3) {
				g, err := New(n, epoch+1, previous, members, nil)
				if err != nil {
					t.Fatal(err)
				}
				if seen[g.Link()] {
					t.Errorf("network %s, epoch %d after %s is another's group", n, epoch+1, previous)
				}
				seen[g.Link()] = true
			}
		}
	}
}
