package epoch

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/trust"
)

// TestSteps: over whatever labels, link after link, no link moves more than the step, weights sum to the
// whole, and everybody who recomputes agrees.
func TestSteps(t *testing.T) {
	const seeded, all = 4, 9
	rapid.Check(t, func(t *rapid.T) {
		s := seeds(&testing.T{}, seeded)
		read := genRead(t, all)
		for range 6 {
			next := follow(t, s, read)
			if by := moved(s.Group(), next.Group()); by > trust.DefaultStep {
				t.Fatalf("a link moves %d, at most %d", by, trust.DefaultStep)
			}
			var sum group.Weight
			for _, m := range next.Group().Members() {
				sum += m.Weight
			}
			if sum != group.Total {
				t.Fatalf("weights sum to %d", sum)
			}
			s = next
			read = nil
			for i := range all {
				if rapid.IntRange(0, 4).Draw(t, "again") == 0 {
					version := uint64(1)
					if old := s.Read(id(i)); old != nil {
						version = old.Version + 1
					}
					read = append(read, peer(i, version, genScores(t, i, all)))
				}
			}
		}
	})
}

// TestOrderOfReading: what comes of a cut is the same in whatever order it is read.
func TestOrderOfReading(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := seeds(&testing.T{}, 3)
		read := genRead(t, 7)
		one, err := s.Next(read, nil)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := rapid.Permutation(read).Draw(t, "order")
		other, err := s.Next(shuffled, nil)
		if err != nil || other.Link() != one.Link() {
			t.Fatalf("another group, %v", err)
		}
		a, b := s.After(one, read), s.After(other, shuffled)
		later, err := a.Next(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := b.Next(nil, nil); err != nil || again.Link() != later.Link() {
			t.Fatalf("the order shows a link later, %v", err)
		}
	})
}

// TestPermutedPeers: who is who does not matter. Peers that change places change weights, within what two
// computations may differ by.
func TestPermutedPeers(t *testing.T) {
	const n = 6
	rapid.Check(t, func(t *rapid.T) {
		said := make([]map[int]int32, n)
		for i := range said {
			said[i] = genScores(t, i, n)
		}
		to := rapid.Permutation([]int{0, 1, 2, 3, 4, 5}).Draw(t, "places")
		var plain, permuted []*group.Peer
		for i := range said {
			plain = append(plain, peer(i, 1, said[i]))
			moved := make(map[int]int32)
			for ratee, score := range said[i] {
				moved[to[ratee]] = score
			}
			permuted = append(permuted, peer(to[i], 1, moved))
		}
		s := seeds(&testing.T{}, n)
		a, err := s.Next(plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Next(permuted, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if x, y := weight(a, i), weight(b, to[i]); max(x, y)-min(x, y) > trust.Tolerance {
				t.Fatalf("peer %d has %d, and %d in the place of %d", i, x, y, to[i])
			}
		}
	})
}

// TestNobodyLabels: a peer that nobody labels gains nothing, whatever it says, and changes nothing.
func TestNobodyLabels(t *testing.T) {
	const n = 5
	rapid.Check(t, func(t *rapid.T) {
		s := seeds(&testing.T{}, 3)
		read := genRead(t, n)
		without, err := s.Next(read, nil)
		if err != nil {
			t.Fatal(err)
		}
		scores := make(map[int]int32)
		for i := range n {
			scores[i] = rapid.Int32Range(-group.MaxScore, group.MaxScore).Draw(t, "score")
		}
		with, err := s.Next(append(read, peer(n, 1, scores)), nil)
		if err != nil {
			t.Fatal(err)
		}
		if weight(with, n) != 0 || !Same(without, with) {
			t.Fatalf("the newcomer has %d", weight(with, n))
		}
	})
}

// TestConvictedAreOut at once and for ever, whatever is said of them, and the others keep their proportions.
func TestConvictedAreOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 6
		s := follow(t, seeds(&testing.T{}, 4), genRead(t, n))
		members := s.Group().Members()
		if len(members) < 2 {
			t.Skip("one member")
		}
		guilty := members[rapid.IntRange(0, len(members)-1).Draw(t, "guilty")]
		conviction := Conviction{domain.Hash{9}, guilty.Keys[0].Key}
		next := follow(t, s, nil, conviction)
		if next.Group().Share(conviction.Key) != 0 || len(next.Group().Members()) != len(members)-1 {
			t.Fatal("still a member")
		}
		for _, m := range next.Group().Members() {
			before := s.Group().Members()[slices.IndexFunc(members, func(o group.Member) bool { return o.PeerID == m.PeerID })]
			if want := uint64(before.Weight) * uint64(group.Total) / uint64(group.Total-guilty.Weight); uint64(m.Weight) < want || uint64(m.Weight) > want+1 {
				t.Fatalf("%d became %d, want %d", before.Weight, m.Weight, want)
			}
		}
		// Everybody praises the convicted one, link after link; it comes with a fresh key too.
		var read []*group.Peer
		for i := range n {
			version, scores := uint64(2), map[int]int32{}
			for j := range n {
				scores[j] = group.MaxScore
			}
			p := peer(i, version, scores)
			p.Keys = append(p.Keys, group.CertifiedKey{NodeKey: group.NodeKey{Key: key(i, 1)}})
			slices.SortFunc(p.Keys, func(a, b group.CertifiedKey) int { return a.Key.Compare(b.Key) })
			read = append(read, p)
		}
		for range 4 {
			next = follow(t, next, read)
			read = nil
			for _, m := range next.Group().Members() {
				if m.PeerID == guilty.PeerID {
					t.Fatal("the convicted is back")
				}
			}
		}
		if got := next.Convicted(); len(got) != 1 || got[0] != guilty.PeerID {
			t.Fatalf("convicted are %v", got)
		}
	})
}

// TestFifthNode: four seeds that label each other; a fifth is labelled by two of them, and gains weight at
// the next link, up to a share of what these two give.
func TestFifthNode(t *testing.T) {
	s := seeds(t, 4)
	all := func(extra ...int) map[int]int32 {
		scores := map[int]int32{0: 1000, 1: 1000, 2: 1000, 3: 1000}
		for _, i := range extra {
			scores[i] = 1000
		}
		return scores
	}
	var read []*group.Peer
	for i := range 4 {
		read = append(read, peer(i, 1, all()))
	}
	s = follow(t, s, read)
	if moved(s.Group(), seeds(t, 4).Group()) > trust.Tolerance {
		t.Fatalf("seeds that label each other alike do not keep their weights: %v", sharesOf(s.Group()))
	}
	read = []*group.Peer{peer(4, 1, all()), peer(0, 2, all(4)), peer(1, 2, all(4))}
	var last group.Weight
	for link := range 40 {
		next := follow(t, s, read)
		read = nil
		got := weight(next.Group(), 4)
		if link == 0 && (got < group.Total/100 || got > trust.DefaultStep) {
			t.Errorf("the first link gives %d", got)
		}
		if last = got; !Worth(s.Group(), next.Group()) {
			break
		}
		s = next
	}
	if last < group.Total/20 || last > group.Total/4 {
		t.Errorf("the fifth node ends with %d", last)
	}
	if next, err := s.Next(nil, nil); err != nil || Worth(s.Group(), next) {
		t.Errorf("weights do not come to rest: %v", err)
	}
	// The two take their labels back: link by link it is out again.
	read = []*group.Peer{peer(0, 3, all()), peer(1, 3, all())}
	for range 10 {
		s, read = follow(t, s, read), nil
	}
	if got := weight(s.Group(), 4); got != 0 {
		t.Errorf("it still has %d", got)
	}
}

func TestKeys(t *testing.T) {
	s := seeds(t, 3)
	keysOf := func(g *group.Group, i int) (out []domain.PublicKey) {
		for _, m := range g.Members() {
			if m.PeerID == id(i) {
				for _, k := range m.Keys {
					out = append(out, k.Key)
				}
			}
		}
		return out
	}
	with := func(i int, version uint64, keys ...domain.PublicKey) *group.Peer {
		p := peer(i, version, nil)
		p.Keys = nil
		slices.SortFunc(keys, domain.PublicKey.Compare)
		for _, k := range keys {
			p.Keys = append(p.Keys, group.CertifiedKey{NodeKey: group.NodeKey{Key: k, SigningEpoch: 7}})
		}
		return p
	}
	// Metadata replaces what the genesis document says; members without any keep it.
	s = follow(t, s, []*group.Peer{with(0, 1, key(0, 1), key(0, 2))})
	if got := keysOf(s.Group(), 0); len(got) != 2 || slices.Contains(got, key(0, 0)) {
		t.Errorf("keys %v", got)
	}
	if got := s.Group().Voters()[must(s.Group().Voter(key(0, 1)))]; got.SigningEpoch != 7 {
		t.Errorf("signing epoch %d", got.SigningEpoch)
	}
	if got := keysOf(s.Group(), 1); len(got) != 1 || got[0] != key(1, 0) {
		t.Errorf("keys %v", got)
	}
	// A key of somebody else's stays where it was, also after it was rotated out.
	s = follow(t, s, []*group.Peer{with(1, 1, key(1, 1), key(0, 0), key(0, 1))})
	if got := keysOf(s.Group(), 1); len(got) != 1 || got[0] != key(1, 1) {
		t.Errorf("keys %v", got)
	}
	if peer, ok := s.PeerOf(key(0, 0)); !ok || peer != id(0) {
		t.Error("a key rotated out is nobody's")
	}
	// Two newcomers list one new key: the lower id has it.
	low, high := 0, 1
	if id(low).Compare(id(high)) > 0 {
		low, high = high, low
	}
	s = follow(t, s, []*group.Peer{with(low, 2, key(9, 9)), with(high, 2, key(9, 9), key(high, 3))})
	if got := keysOf(s.Group(), high); len(got) != 1 || got[0] != key(high, 3) {
		t.Errorf("keys of the higher %v", got)
	}
	if got := keysOf(s.Group(), low); len(got) != 1 || got[0] != key(9, 9) {
		t.Errorf("keys of the lower %v", got)
	}
	// Who revokes all keys is out at once; the others keep their proportions.
	s = follow(t, s, []*group.Peer{with(2, 1)})
	if weight(s.Group(), 2) != 0 || len(s.Group().Members()) != 2 {
		t.Errorf("members %v", sharesOf(s.Group()))
	}
	if _, err := s.Next([]*group.Peer{with(0, 5), with(1, 5)}, nil); refusal.ReasonOf(err) != notaryv1.Reason_REASON_WRONG_GROUP {
		t.Errorf("a group of nobody: %v", err)
	}
	// A key that was rotated out convicts its peer.
	s = follow(t, s, nil, Conviction{domain.Hash{1}, key(0, 1)})
	if weight(s.Group(), 0) != 0 || len(s.Convicted()) != 1 {
		t.Error("a rotated key convicts nobody")
	}
}

func must(i int, ok bool) int {
	if !ok {
		panic("no voter")
	}
	return i
}

// TestJudge refuses what is not the next group.
func TestJudge(t *testing.T) {
	s := seeds(t, 4)
	labels := map[int]int32{0: 900, 1: 800, 2: 700, 3: 600}
	first := []*group.Peer{peer(0, 2, labels), peer(1, 1, labels), peer(2, 1, labels)}
	s = follow(t, s, first)
	read := []*group.Peer{peer(4, 1, labels), peer(3, 1, map[int]int32{4: 1000})}
	good, err := s.Next(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	edited := func(edit func([]group.Member)) *group.Group {
		members := slices.Clone(good.Members())
		for i := range members {
			members[i].Keys = slices.Clone(members[i].Keys)
		}
		edit(members)
		g, err := group.New(network, good.Epoch(), good.Previous(), members, nil)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	shifted := func(by group.Weight) *group.Group {
		return edited(func(m []group.Member) { m[0].Weight -= by; m[1].Weight += by })
	}
	evidence := []Conviction{{domain.Hash{1}, key(0, 0)}, {domain.Hash{2}, key(1, 0)}, {domain.Hash{3}, key(0, 0)}, {domain.Hash{4}, key(77, 0)}}
	removal := func(acted ...Conviction) *group.Group {
		g, err := s.Next(nil, acted)
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	listing := func(g *group.Group, e ...domain.Hash) *group.Group {
		out, err := group.New(network, g.Epoch(), g.Previous(), g.Members(), e)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	innocent := removal(Conviction{domain.Hash{9}, key(2, 0)})
	elsewhere, err := group.New(network, 7, domain.Hash{7}, good.Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	const wrong, stale, unknown = notaryv1.Reason_REASON_WRONG_GROUP, notaryv1.Reason_REASON_STALE_CUT, notaryv1.Reason_REASON_UNKNOWN_EVIDENCE
	for name, c := range map[string]struct {
		link *group.Group
		read []*group.Peer
		want notaryv1.Reason
	}{
		"itself":                      {good, read, 0},
		"within the tolerance":        {shifted(trust.Tolerance / 2), read, 0},
		"beyond the tolerance":        {shifted(trust.Tolerance/2 + 1), read, wrong},
		"of another cut":              {good, read[:1], wrong},
		"of an older cut":             {good, append(slices.Clone(read), peer(0, 1, labels)), stale},
		"the same version again":      {good, append(slices.Clone(read), first[0]), 0},
		"a key of nobody's":           {edited(func(m []group.Member) { m[0].Keys[0].Key = key(99, 0) }), read, wrong},
		"another signing epoch":       {edited(func(m []group.Member) { m[0].Keys[0].SigningEpoch = 5 }), read, wrong},
		"following another":           {elsewhere, read, wrong},
		"removing one":                {removal(evidence[0]), nil, 0},
		"removing two":                {removal(evidence[:2]...), nil, 0},
		"removing, and reading":       {removal(evidence[0]), read, wrong},
		"removing more":               {listing(removal(evidence[:2]...), evidence[0].Evidence), nil, wrong},
		"removing less":               {listing(removal(evidence[0]), evidence[0].Evidence, evidence[1].Evidence), nil, wrong},
		"twice the same peer":         {listing(removal(evidence[0]), evidence[0].Evidence, evidence[2].Evidence), nil, wrong},
		"on evidence of somebody":     {listing(removal(evidence[0]), evidence[1].Evidence), nil, wrong},
		"on evidence of nobody":       {listing(removal(evidence[0]), evidence[3].Evidence), nil, wrong},
		"removing nobody":             {listing(good, domain.Hash{55}), nil, wrong},
		"on another piece of it":      {listing(removal(evidence[0]), domain.Hash{55}), nil, 0},
		"on evidence nobody has seen": {innocent, nil, unknown},
	} {
		err := s.Judge(c.link, c.read, evidence)
		if refusal.ReasonOf(err) != c.want || (err == nil) != (c.want == 0) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Within the tolerance there is room for one whom members trust, but not for one that a link has removed.
	gone := removal(evidence[0])
	without := s.After(gone, nil)
	next, err := without.Next(read, nil)
	if err != nil {
		t.Fatal(err)
	}
	was := slices.IndexFunc(good.Members(), func(m group.Member) bool { return m.PeerID == id(0) })
	members := slices.Clone(next.Members())
	members[0].Weight--
	members = append(members, group.Member{PeerID: id(0), Weight: 1, Keys: good.Members()[was].Keys})
	slices.SortFunc(members, func(a, b group.Member) int { return a.PeerID.Compare(b.PeerID) })
	back, err := group.New(network, next.Epoch(), next.Previous(), members, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := without.Judge(next, read, evidence); err != nil {
		t.Errorf("without it: %v", err)
	}
	if err := without.Judge(back, read, evidence); refusal.ReasonOf(err) != wrong || !strings.Contains(err.Error(), "for ever") {
		t.Errorf("a removed member comes back: %v", err)
	}
	still := follow(t, seeds(t, 2), nil)
	idle, err := still.Next(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := still.Judge(idle, nil, nil); refusal.ReasonOf(err) != wrong {
		t.Errorf("a link that changes nothing: %v", err)
	}
}

// TestStrangersGetNoSeat: the tolerance has no room for those whom no member trusts, with a unit each or all of it; anybody can publish a
// peer.
func TestStrangersGetNoSeat(t *testing.T) {
	s := follow(t, seeds(t, 4), []*group.Peer{peer(0, 1, map[int]int32{1: 900, 2: 100})})
	says := func(scores map[int]int32) *group.Peer { return peer(3, 1, scores) }
	for name, c := range map[string]struct {
		read []*group.Peer
		want notaryv1.Reason
	}{
		"trusted":           {[]*group.Peer{says(map[int]int32{1: 1000, 5: 1}), peer(5, 1, nil)}, 0},
		"trusted by those":  {[]*group.Peer{says(map[int]int32{1: 1000, 6: 1}), peer(5, 1, nil), peer(6, 1, map[int]int32{5: 1})}, 0},
		"unheard of":        {[]*group.Peer{says(map[int]int32{1: 1000}), peer(5, 1, nil)}, notaryv1.Reason_REASON_WRONG_GROUP},
		"distrusted":        {[]*group.Peer{says(map[int]int32{1: 1000, 5: -1000}), peer(5, 1, nil)}, notaryv1.Reason_REASON_WRONG_GROUP},
		"praised by a like": {[]*group.Peer{says(map[int]int32{1: 1000}), peer(5, 1, map[int]int32{0: 1000}), peer(6, 1, map[int]int32{5: 1000})}, notaryv1.Reason_REASON_WRONG_GROUP},
	} {
		right, err := s.Next(c.read, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Judge(right, c.read, nil); err != nil {
			t.Errorf("%s, as computed: %v", name, err)
		}
		for _, weight := range []group.Weight{1, trust.Tolerance / 2} {
			if err := s.Judge(seating(t, right, 5, weight), c.read, nil); refusal.ReasonOf(err) != c.want {
				t.Errorf("%s, with a seat of %d: %v", name, weight, err)
			}
		}
	}
}

// seating is a group with so much of the weight of its first member moved to the i-th peer, which may be new.
func seating(t *testing.T, g *group.Group, i int, weight group.Weight) *group.Group {
	t.Helper()
	members := slices.Clone(g.Members())
	members[0].Weight -= weight
	if at := slices.IndexFunc(members, func(m group.Member) bool { return m.PeerID == id(i) }); at >= 0 {
		members[at].Weight += weight
	} else {
		members = append(members, group.Member{PeerID: id(i), Weight: weight, Keys: []group.NodeKey{{Key: key(i, 0)}}})
	}
	slices.SortFunc(members, func(a, b group.Member) int { return a.PeerID.Compare(b.PeerID) })
	out, err := group.New(network, g.Epoch(), g.Previous(), members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestLargestGroup: many peers of many keys still make a group that fits, with fewer keys each.
func TestLargestGroup(t *testing.T) {
	var members []group.Member
	var read []*group.Peer
	for i, w := range group.Split(group.MaxMembers) {
		members = append(members, group.Member{PeerID: id(i), Weight: w, Keys: []group.NodeKey{{Key: key(i, 0), BLS: make([]byte, 48)}}})
		if i >= 100 {
			continue
		}
		p := peer(i, 1, nil)
		p.Keys = nil
		for k := range group.MaxMemberKeys {
			p.Keys = append(p.Keys, group.CertifiedKey{NodeKey: group.NodeKey{Key: key(i, k), BLS: make([]byte, 48)}})
		}
		slices.SortFunc(p.Keys, func(a, b group.CertifiedKey) int { return a.Key.Compare(b.Key) })
		read = append(read, p)
	}
	g, err := group.New(network, 0, domain.Hash{}, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := follow(t, Start(g), read)
	most := 0
	for _, m := range s.Group().Members() {
		most = max(most, len(m.Keys))
	}
	if len(s.Group().Members()) != group.MaxMembers || most < 2 || most >= group.MaxMemberKeys {
		t.Errorf("%d members, at most %d keys each", len(s.Group().Members()), most)
	}
}
