package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/netlab"
)

// TestPartitions: four hosts whose links are cut, one way or both, for as long as the test says, under load and double
// spends. Whoever is without a quorum waits, the others go on; once the links are whole everything is decided, the
// same everywhere. Each way to cut is tried so many times as the test is told, every few of them on a new network: the
// coins of one do not last for more.
func TestPartitions(t *testing.T) {
	rounds, began := often(t, "NOTARY_SOAK_PARTITIONS", 1), time.Now()
	var all healing
	for all.rounds < rounds {
		before := all.rounds
		t.Run(fmt.Sprint("from ", before), func(t *testing.T) { partition(t, min(roundsEach, rounds-before), &all) })
		switch {
		case t.Failed():
			return
		case all.rounds == before:
			t.Skip("no network was made")
		}
	}
	p99 := percentile(all.took, 99)
	tell(t, map[string]any{
		"run": "partitions", "rounds": all.rounds, "probes": len(all.took), "heal_p50_ms": percentile(all.took, 50), "heal_p99_ms": p99,
		"heal_most_ms": percentile(all.took, 100), "accepted": all.accepted, "contests": all.contests, "lost_accepted": all.lost,
		"contradictory_votes": all.contradictory, "seconds": int(time.Since(began).Seconds()),
	})
	if all.lost > 0 || all.contradictory > 0 || p99 > 10_000 {
		t.Errorf("%d accepted transactions lost, %d contradictory votes, decided %d ms after healing (p99)", all.lost, all.contradictory, p99)
	}
}

// roundsEach is how many rounds of cuts one network lives through.
const roundsEach = 3

// healing is what became of networks whose links were cut; took is from healing to a decision everywhere.
type healing struct {
	rounds                                  int
	took                                    []time.Duration
	accepted, contests, lost, contradictory int
}

// partition cuts the links of one network in every way, so many times.
func partition(t *testing.T, rounds int, all *healing) {
	h := startHosts(t)
	l := h.load(6)
	l.goesOn(t, 5, 0, 1, 2, 3)
	cut := netlab.Link{Cut: true}
	for range rounds {
		for _, c := range []struct {
			name   string
			break_ func()
			lasts  time.Duration
			cut    []int // who has no quorum
			on     []int // who has
		}{
			{"one is cut off", func() { h.lab.Between([]int{3}, []int{0, 1, 2}, cut) }, 4 * time.Second, []int{3}, []int{0, 1, 2}},
			{"halves", func() { h.lab.Between([]int{0, 1}, []int{2, 3}, cut) }, 4 * time.Second, []int{0, 1, 2, 3}, nil},
			{"one is not heard", func() {
				for v := range 3 {
					h.lab.Set(3, v, cut)
				}
			}, 4 * time.Second, nil, []int{0, 1, 2}},
			{"one hears nothing", func() {
				for v := range 3 {
					h.lab.Set(v, 0, cut)
				}
				h.lab.Set(3, 0, cut)
			}, 4 * time.Second, nil, []int{1, 2, 3}},
			{"one is cut off for long", func() { h.lab.Between([]int{1}, []int{0, 2, 3}, cut) }, 25 * time.Second, []int{1}, []int{0, 2, 3}},
		} {
			c.break_()
			start := time.Now()
			probes := h.send(t, l, 1, 0, 1, 2, 3)
			l.goesOn(t, 10, c.on...)
			time.Sleep(max(0, c.lasts-time.Since(start)))
			for _, v := range c.cut {
				if n := h.final(t, l, v, probes); n > 0 {
					t.Errorf("%s: node %d, without a quorum, calls %d of %d final", c.name, v, n, len(probes))
				}
			}
			h.lab.Heal()
			last := h.decide(t, l, probes)
			t.Logf("%s for %v: decided after %d ms (median), %d ms (last)", c.name, time.Since(start).Round(time.Second), percentile(last, 50), percentile(last, 100))
			all.took = append(all.took, last...)
			l.goesOn(t, 5, 0, 1, 2, 3)
		}
	}
	l.stop(t)
	lost, contradictory := h.judge(t, l)
	all.rounds += rounds
	all.accepted += len(l.final)
	all.contests += len(l.rivals)
	all.lost += lost
	all.contradictory += contradictory
}

// TestBadLinks: four hosts over links that lose three frames of a hundred and take 10 to 60 ms, so that later ones overtake
// earlier ones; one of the nodes is killed meanwhile and comes back. Payments and double spends are decided all along.
func TestBadLinks(t *testing.T) {
	h := startHosts(t)
	bad := netlab.Link{Loss: 0.03, Delay: 10 * time.Millisecond, Jitter: 50 * time.Millisecond}
	for v := range 4 {
		h.lab.Between([]int{v}, []int{(v + 1) % 4, (v + 2) % 4}, bad)
	}
	l := h.load(6)
	began := time.Now()
	l.goesOn(t, 5, 0, 1, 2, 3)
	before := h.decide(t, l, h.send(t, l, 3, 0, 1, 2, 3))
	l.lives(2, nil)
	h.kill(t, 2)
	l.goesOn(t, 5, 0, 1, 3)
	h.run(t, 2)
	l.lives(2, h.client(2))
	l.goesOn(t, 5, 0, 1, 2, 3)
	after := h.decide(t, l, h.send(t, l, 3, 0, 1, 2, 3))
	l.stop(t)
	lost, contradictory := h.judge(t, l)
	took := append(before, after...)
	tell(t, map[string]any{
		"run": "bad links", "probes": len(took), "decided_p50_ms": percentile(took, 50), "decided_p99_ms": percentile(took, 99),
		"accepted": len(l.final), "contests": len(l.rivals), "lost_accepted": lost, "contradictory_votes": contradictory,
		"seconds": int(time.Since(began).Seconds()),
	})
	if lost > 0 || contradictory > 0 {
		t.Errorf("%d accepted transactions lost, %d contradictory votes", lost, contradictory)
	}
}
