package node

import (
	"testing"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// equals is a group of n node keys of equal weight.
func equals(t *testing.T, n int) *group.Group {
	t.Helper()
	var members []group.Member
	for i, w := range group.Split(n) {
		key := domain.PublicKey{byte(i + 1)}
		members = append(members, group.Member{PeerID: domain.Hash{byte(i + 1)}, Weight: w, Keys: []group.NodeKey{{Key: key}}})
	}
	g, err := group.New(domain.Hash{9}, 0, domain.Hash{}, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func vote(g *group.Group, tx, voter int, s observation.State, round uint32) conflict.Vote {
	return conflict.Vote{Tx: txID(tx), State: s, Round: round, Group: g, Voter: voter, TimeMS: 1000 + uint64(voter), Height: 1}
}

const (
	pend = observation.Pending
	acc  = observation.Accepted
	abst = observation.Abstain
)

// TestWeigh: an ACCEPTED supports, a voter counts once, and a liar in rounds of its own is not followed.
func TestWeigh(t *testing.T) {
	g := equals(t, 10)
	tenth := group.Total / 10
	for name, c := range map[string]struct {
		votes []conflict.Vote
		want  weights
	}{
		"none":                    {nil, weights{}},
		"one":                     {[]conflict.Vote{vote(g, 1, 0, pend, 0)}, weights{0, tenth, 0}},
		"twice the same voter":    {[]conflict.Vote{vote(g, 1, 0, pend, 0), vote(g, 1, 0, pend, 0), vote(g, 1, 0, acc, 0)}, weights{0, tenth, tenth}},
		"accepted supports":       {[]conflict.Vote{vote(g, 1, 0, pend, 0), vote(g, 1, 1, acc, 0)}, weights{0, 2 * tenth, tenth}},
		"abstaining does not":     {[]conflict.Vote{vote(g, 1, 0, abst, 0)}, weights{}},
		"a liar ahead":            {[]conflict.Vote{vote(g, 1, 0, pend, 0), vote(g, 1, 1, pend, 0), vote(g, 1, 2, pend, 99)}, weights{0, 2 * tenth, 0}},
		"equal: the higher round": {[]conflict.Vote{vote(g, 1, 0, pend, 0), vote(g, 1, 1, pend, 1)}, weights{1, tenth, 0}},
		"more than a third ahead": {[]conflict.Vote{
			vote(g, 1, 0, pend, 0), vote(g, 1, 1, pend, 0), vote(g, 1, 2, pend, 0), vote(g, 1, 3, pend, 0), vote(g, 1, 4, pend, 0),
			vote(g, 1, 0, pend, 1), vote(g, 1, 1, pend, 1), vote(g, 1, 2, abst, 1), vote(g, 1, 3, acc, 1),
		}, weights{1, 3 * tenth, tenth}},
	} {
		if got := weigh(c.votes); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// TestWeighEpochs: votes of an epoch that has passed no longer count.
func TestWeighEpochs(t *testing.T) {
	old := equals(t, 3)
	now, err := group.New(domain.Hash{9}, 1, old.Link(), old.Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	votes := []conflict.Vote{vote(old, 1, 0, pend, 5), vote(old, 1, 1, pend, 5), vote(old, 1, 2, pend, 5), vote(now, 1, 0, pend, 1)}
	if got := weigh(votes); got.round != 1 || got.pending != now.Voters()[0].Share {
		t.Errorf("%+v", got)
	}
	if rounds := roundsOf(votes); len(rounds) != 2 || rounds[0].group != old || rounds[1].group != now {
		t.Errorf("%+v", rounds)
	}
}

func TestRoundsOf(t *testing.T) {
	g := equals(t, 4)
	rounds := roundsOf([]conflict.Vote{
		vote(g, 2, 3, pend, 1), vote(g, 1, 0, pend, 0), vote(g, 2, 1, pend, 0), vote(g, 2, 2, abst, 0), vote(g, 1, 0, acc, 1), vote(g, 2, 0, pend, 1),
	})
	if len(rounds) != 2 || rounds[0].round != 0 || rounds[1].round != 1 {
		t.Fatalf("%+v", rounds)
	}
	quarter := group.Total / 4
	first, second := rounds[0], rounds[1]
	if first.heard.weight != 3*quarter || first.abstained.weight != quarter || first.of(txID(1)).pending != quarter || first.of(txID(3)).pending != 0 {
		t.Errorf("%+v", first)
	}
	// Voter 0 contradicts itself: it counts on both sides, and is heard once.
	if second.heard.weight != 2*quarter || second.of(txID(1)).accepted != quarter || second.of(txID(2)).pending != 2*quarter || len(second.ids()) != 2 {
		t.Errorf("%+v", second)
	}
}

// TestRecent: the last minute and nothing older; quantiles to 5 %.
func TestRecent(t *testing.T) {
	r := new(recent)
	if rate, p50, p99 := r.minute(1_000_000_000); rate != 0 || p50 != 0 || p99 != 0 {
		t.Error(rate, p50, p99)
	}
	const now = 1_000_000_000
	for i := range uint64(6000) {
		r.final(now-i*10, 100+i%1000) // a minute, 100 to 1,099 ms
	}
	r.final(now-61_000, 1<<40)
	rate, p50, p99 := r.minute(now)
	if rate < 96 || rate > 100 || p50 < 570 || p50 > 630 || p99 < 1035 || p99 > 1145 {
		t.Error(rate, p50, p99)
	}
	if rate, _, _ := r.minute(now + 120_000); rate != 0 {
		t.Error(rate, "two minutes later")
	}
	r.final(now+200_000, 0) // takes the place of an old slot
	r.final(now+200_000, 1<<62)
	if rate, p50, p99 := r.minute(now + 200_000); rate != 2.0/60 || p50 > 2 || p99 < 1e5 {
		t.Error(rate, p50, p99)
	}
}
