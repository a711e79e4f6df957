package epoch

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

var update = flag.Bool("update", false, "write the vectors of testdata anew")

// linkVector is one link: what it reads, or the evidence that it acts on with the keys convicted, and the
// group that follows.
type linkVector struct {
	Read     []string `json:"read,omitempty"`
	Evidence []string `json:"evidence,omitempty"`
	Keys     []string `json:"convicted_keys,omitempty"`
	Group    string   `json:"group"`
	Link     string   `json:"link"`
}

// linksFile is testdata/links.json: a group of epoch 0 and the links after it, each from the one before.
// Metadata and groups are canonical; memberships are not signed.
type linksFile struct {
	Group string       `json:"group"`
	Links []linkVector `json:"links"`
}

// story is labels, a rotation, a conviction and the links that follow.
func story(t *testing.T) (*State, [][]*group.Peer, [][]Conviction) {
	t.Helper()
	all := func(more map[int]int32) map[int]int32 {
		scores := map[int]int32{0: 1000, 1: 900, 2: 800, 3: 700}
		for i, score := range more {
			scores[i] = score
		}
		return scores
	}
	rotated := peer(2, 2, all(map[int]int32{5: -400}))
	rotated.Keys = []group.CertifiedKey{{NodeKey: group.NodeKey{Key: key(2, 1), SigningEpoch: 3}}}
	return seeds(t, 4),
		[][]*group.Peer{
			{peer(0, 1, all(nil)), peer(1, 1, all(nil)), peer(2, 1, all(nil)), peer(3, 1, all(nil))},
			{peer(4, 1, all(nil)), peer(5, 1, nil), peer(0, 2, all(map[int]int32{4: 1000, 5: 300})), rotated},
			nil, nil,
			{peer(1, 2, all(map[int]int32{4: 500}))},
		},
		[][]Conviction{nil, nil, nil, {{domain.Hash{7}, key(3, 0)}}, nil}
}

func TestLinkVectors(t *testing.T) {
	s, reads, acts := story(t)
	f := linksFile{Group: hex.EncodeToString(s.Group().Bytes())}
	for i := range reads {
		next, err := s.Next(reads[i], acts[i])
		if err != nil {
			t.Fatal(i, err)
		}
		v := linkVector{Group: hex.EncodeToString(next.Bytes()), Link: next.Link().String()}
		for _, p := range reads[i] {
			b, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			v.Read = append(v.Read, hex.EncodeToString(b))
		}
		for _, c := range acts[i] {
			v.Evidence, v.Keys = append(v.Evidence, c.Evidence.String()), append(v.Keys, c.Key.String())
		}
		f.Links = append(f.Links, v)
		s = s.After(next, reads[i])
	}
	got, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const path = "testdata/links.json"
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Fatalf("%s is no longer what the code makes (-update writes it)", path)
	}
	replay(t, want)
}

// replay judges the links of a file as a node does that has nothing but the file.
func replay(t *testing.T, b []byte) {
	t.Helper()
	var f linksFile
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	s := Start(decoded(t, f.Group))
	for i, v := range f.Links {
		var read []*group.Peer
		for _, text := range v.Read {
			raw, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			p, err := group.DecodePeer(raw)
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, p)
		}
		var known []Conviction
		for k := range v.Evidence {
			e, err := domain.ParseHash(v.Evidence[k])
			if err != nil {
				t.Fatal(err)
			}
			convicted, err := domain.ParseHash(v.Keys[k])
			if err != nil {
				t.Fatal(err)
			}
			known = append(known, Conviction{e, domain.PublicKey(convicted)})
		}
		link := decoded(t, v.Group)
		if err := s.Judge(link, read, known); err != nil {
			t.Errorf("link %d: %v", i, err)
		}
		if link.Link().String() != v.Link {
			t.Errorf("link %d has another hash", i)
		}
		s = s.After(link, read)
	}
}

func decoded(t *testing.T, text string) *group.Group {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	g, err := group.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
