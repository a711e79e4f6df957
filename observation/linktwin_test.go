package observation_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// TestLinksTwin draws histories and holds the shortest chains against all chains, and what they lead to
// against plain walking.
func TestLinksTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := drawAge(t)
		p := payment(a)
		if a.Group.Epoch() == 0 {
			return
		}
		from := rapid.Uint64Range(0, a.Group.Epoch()-1).Draw(t, "from")
		plain := *p
		plain.Links = a.Links[from:]
		linked := *p
		if err := linked.LinkFrom(a.Groups[from], a.History); err != nil {
			t.Fatal(err)
		}
		root := observation.NewRoot(a.Groups[from])
		want, got := must(plain.Verify(root)), must(again(t, &linked).Verify(root))
		if want.Conclusion != observation.Valid || got.Conclusion != want.Conclusion {
			t.Fatalf("plain %s, linked %s by %v", want.Conclusion, got.Conclusion, got.Links)
		}
		for _, anchor := range got.Anchors {
			if anchor.Group.Link() != a.Groups[anchor.Group.Epoch()].Link() {
				t.Fatalf("epoch %d: a group that plain walking does not reach", anchor.Group.Epoch())
			}
		}
		if best := fewestBytes(a, p, from); bytesOf(linked.Links) != best {
			t.Fatalf("%d bytes of links, %d are enough", bytesOf(linked.Links), best)
		}
	})
}

// TestForgersDoNotLead: whoever has no more than 2/3 of the weight of a known group, and as many keys of its own as it
// likes, leads its verifier to no group of its own, by whatever links.
func TestForgersDoNotLead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		honest := drawAge(t)
		known := honest.At(rapid.Uint64Range(0, honest.Group.Epoch()).Draw(t, "known"))
		var stolen []int // positions among the voters of the known group
		var weight group.Weight
		for _, v := range rapid.Permutation(known.Everybody()).Draw(t, "victims") {
			if share := known.Group.Voters()[v].Share; !group.Quorum(weight + share) {
				stolen, weight = append(stolen, v), weight+share
			}
		}
		slices.Sort(stolen)
		forger := known.Fork()
		members := equals(forger, 500, 501, 502)
		for _, v := range stolen {
			key := known.Group.Voters()[v].Key
			members[0].Keys = append(members[0].Keys, group.NodeKey{Key: key, SigningEpoch: 1})
		}
		made := forger.Next(members...)
		var links []*observation.Link
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0: // what only stolen keys accepted
			if len(stolen) == 0 {
				return
			}
			tx := forger.LinkTx(forger.Output, made)
			links = []*observation.Link{must(observation.NewLink(tx.Raw, forger.Prove(tx, 0, stolen...)))}
			forger.Enter(links[0])
		case 1: // vouched for by stolen keys and its own
			links = []*observation.Link{observation.Vouched(made)}
			forger.Enter(links[0])
		case 2: // the same, with one proven link more
			forger.Enter(observation.Vouched(made))
			second := forger.Grow(forger.Next(equals(forger, 500, 501, 502)...))
			links = []*observation.Link{observation.Vouched(made), second}
		}
		p := payment(forger)
		p.Links = links
		v, err := again(t, p).Verify(observation.NewRoot(known.Group))
		if v.Conclusion == observation.Valid || len(v.Anchors) > 0 {
			t.Fatalf("led to %v by %d of the weight", v.Links, weight)
		}
		if err == nil && v.Conclusion != observation.NoTrustRoot {
			t.Fatalf("%s", v.Conclusion)
		}
	})
}

func bytesOf(links []*observation.Link) (n int) {
	for _, l := range links {
		n += len(l.Raw)
	}
	return n
}

// fewestBytes tries every chain, backwards from the end: jumps of powers of two, one link, or to the end.
func fewestBytes(a *kit.Age, p *observation.Proof, from uint64) int {
	end := p.GroupEpoch
	best := map[uint64]int{end: 0}
	vouches := func(by *observation.Proof, under, old *group.Group) bool {
		var sum group.Weight
		for _, v := range old.Voters() {
			at, ok := under.Voter(v.Key)
			if ok && under.Voters()[at].SigningEpoch == v.SigningEpoch && slices.ContainsFunc(by.Observations, func(o observation.ProofObservation) bool { return int(o.KeyIndex) == at }) {
				sum += v.Share
			}
		}
		return 3*sum > 2*group.Total
	}
	for e := end; e > from; {
		e--
		best[e] = len(a.Links[e].Raw) + best[e+1]
		if vouches(p, a.Groups[end], a.Groups[e]) {
			best[e] = min(best[e], len(observation.Vouched(a.Groups[end]).Raw))
		}
		for jump := uint64(1); e+jump < end; jump *= 2 {
			n := e + jump
			if vouches(a.Links[n].Proof, a.Groups[n], a.Groups[e]) {
				best[e] = min(best[e], len(observation.Vouched(a.Groups[n]).Raw)+len(a.Links[n].Raw)+best[n+1])
			}
		}
	}
	return best[from]
}

// drawAge draws a network whose members come, go, and change weight and signing epoch, and whose links are
// accepted by whoever happens to be there.
func drawAge(t *rapid.T) *kit.Age {
	a := kit.New("drawn", kit.Equal(4)...).Ages()
	keys := []int{0, 1, 2, 3}
	for range rapid.IntRange(0, 12).Draw(t, "links") {
		if rapid.Bool().Draw(t, "joins") {
			keys = append(keys, 100+int(a.Group.Epoch()))
		}
		if i := rapid.IntRange(0, len(keys)-1).Draw(t, "leaves"); len(keys) > 3 && rapid.Bool().Draw(t, "left") {
			keys = slices.Delete(slices.Clone(keys), i, i+1)
		}
		members := equals(a, keys...)
		shift := group.Weight(rapid.Uint64Range(0, uint64(members[1].Weight)-1).Draw(t, "shift"))
		members[0].Weight, members[1].Weight = members[0].Weight+shift, members[1].Weight-shift
		var voters []int
		var sum group.Weight
		for _, v := range rapid.Permutation(a.Everybody()).Draw(t, "order") {
			if group.Quorum(sum) && rapid.Bool().Draw(t, "enough") {
				break
			}
			voters, sum = append(voters, v), sum+a.Group.Voters()[v].Share
		}
		a.Grow(a.Next(members...), voters...)
	}
	return a
}

// FuzzLinks: no crash, one encoding, and nothing but the history's own groups is believed.
func FuzzLinks(f *testing.F) {
	a, p := manyLinks()
	f.Add(p.Encode())
	f.Add(plainly(a, payment(a)).Encode())
	for _, l := range linkForgeries() {
		f.Add(relink(p, l.change))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := observation.DecodeProof(b, observation.Limits{MaxObservations: 64})
		if err != nil {
			return
		}
		if !bytes.Equal(p.Encode(), b) {
			t.Fatal("another encoding")
		}
		v, _ := p.Verify(a.Root())
		for _, anchor := range v.Anchors {
			if e := anchor.Group.Epoch(); e >= uint64(len(a.Groups)) || anchor.Group.Link() != a.Groups[e].Link() {
				t.Fatalf("believes a group of epoch %d", e)
			}
		}
	})
}

// BenchmarkWalk verifies a year of hourly links, and the chain that skips.
func BenchmarkWalk(b *testing.B) {
	a := kit.New("year", kit.Equal(20)...).Ages()
	for e := range 1000 {
		keys := make([]int, 20)
		for i := range keys {
			keys[i] = 100 + (e+19-i)/20*20 + i // each key lives for twenty links
		}
		a.Grow(a.Next(equals(a, keys...)...))
	}
	for _, kind := range []string{"plain", "shortest"} {
		p := payment(a)
		if kind == "plain" {
			p.Links = a.Links
		} else if err := p.LinkFrom(a.Groups[0], a.History); err != nil {
			b.Fatal(err)
		}
		b.Run(kind, func(b *testing.B) {
			root := a.Root()
			root.VerifyBatch = func(c []domain.Check) []bool { return domain.VerifyBatch(c, rand.Reader) }
			for b.Loop() {
				if v := must(p.Verify(root)); v.Conclusion != observation.Valid {
					b.Fatal(v.Conclusion)
				}
			}
			b.ReportMetric(float64(len(p.Links)), "links")
			b.ReportMetric(float64(bytesOf(p.Links)), "bytes")
		})
	}
	b.Run("search", func(b *testing.B) {
		p := payment(a)
		for b.Loop() {
			if err := p.LinkFrom(a.Groups[0], a.History); err != nil {
				b.Fatal(err)
			}
		}
	})
}
