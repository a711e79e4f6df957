package gossip

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

func TestDeliveryToFourNodes(t *testing.T) {
	nets := meshOf(t, 4, accepting, nil)
	for i, n := range nets {
		tx, obs := bytes.Repeat([]byte{byte(i + 1)}, 300), bytes.Repeat([]byte{byte(i + 1)}, 1000)
		if err := n.PublishTransactions([][]byte{tx}); err != nil {
			t.Fatal(err)
		}
		for _, publish := range []func([]byte) error{n.PublishObservation, n.PublishPeer, n.PublishEvidence} {
			if err := publish(obs); err != nil {
				t.Fatal(err)
			}
		}
		for j, other := range nets {
			if i == j {
				continue
			}
			if b := receive(t, other.Transactions()); len(b.Raws) != 1 || !bytes.Equal(b.Raws[0], tx) {
				t.Errorf("node %d got %d transactions from %d", j, len(b.Raws), i)
			}
			for _, c := range []<-chan Message{other.Observations(), other.PeerRecords(), other.Evidence()} {
				if m := receive(t, c); !bytes.Equal(m.Raw, obs) {
					t.Errorf("node %d got other bytes from %d", j, i)
				}
			}
		}
	}
	for j, n := range nets {
		for k := range numTopics {
			eventually(t, fmt.Sprintf("node %d, topic %s: three accepted", j, k), func() bool { return n.outcomes(k, "accepted") == 3 })
		}
		peers := n.Peers()
		if len(peers) != 3 {
			t.Fatalf("node %d has %d peers", j, len(peers))
		}
		for _, p := range peers {
			if p.Topics != int(numTopics) || p.Addr == "" || p.Since.IsZero() {
				t.Errorf("node %d sees %+v", j, p)
			}
		}
	}
}

// awaitMesh returns when all neighbours are in the mesh of every topic: what arrives before is not relayed, and not
// announced to the mesh later.
func awaitMesh(t *testing.T, n *Net) {
	t.Helper()
	eventually(t, "a full mesh", func() bool {
		for _, p := range n.Peers() {
			if p.Meshes < int(numTopics) {
				return false
			}
		}
		return true
	})
}

// line starts three nodes in a row, the outer two not connected, so that what the last one gets was relayed.
func line(t *testing.T, handlers func(i int) Handlers) []*Net {
	t.Helper()
	var nets []*Net
	for i := range 3 {
		c := testConfig(i)
		c.Heartbeat = 50 * time.Millisecond
		if i > 0 {
			c.Bootstrap = nets[i-1].Addrs()
		}
		nets = append(nets, startNet(t, c, handlers(i)))
	}
	for i, want := range []int{1, 2, 1} {
		awaitNeighbours(t, nets[i], want)
	}
	for _, n := range nets {
		awaitMesh(t, n)
	}
	return nets
}

func TestRelayBeyondNeighbours(t *testing.T) {
	nets := line(t, accepting)
	if err := nets[0].PublishObservation([]byte("far")); err != nil {
		t.Fatal(err)
	}
	m := receive(t, nets[2].Observations())
	if string(m.Raw) != "far" || m.From != nets[1].Key() {
		t.Errorf("got %q from %s", m.Raw, m.From)
	}
}

func TestInvalidIsNotRelayed(t *testing.T) {
	refusing := func(v Verdict) func(int) Handlers {
		return func(i int) Handlers {
			return judge{message: func(_ context.Context, _ topic, _ domain.PublicKey, raw []byte) Verdict {
				if i == 1 && string(raw) == "bad" {
					return v
				}
				return Accept
			}}
		}
	}
	for _, c := range []struct {
		name    string
		verdict Verdict
		outcome string
	}{{"reject", Reject, "rejected"}, {"ignore", Ignore, "ignored"}} {
		t.Run(c.name, func(t *testing.T) {
			nets := line(t, refusing(c.verdict))
			for _, raw := range []string{"bad", "good"} {
				if err := nets[0].PublishObservation([]byte(raw)); err != nil {
					t.Fatal(err)
				}
				// One after the other, or the second might overtake the first.
				eventually(t, raw+" judged", func() bool {
					return nets[1].outcomes(topicObs, c.outcome)+nets[1].outcomes(topicObs, "accepted") ==
						map[string]float64{"bad": 1, "good": 2}[raw]
				})
			}
			if m := receive(t, nets[2].Observations()); string(m.Raw) != "good" {
				t.Errorf("relayed %q", m.Raw)
			}
			if got := nets[1].outcomes(topicObs, c.outcome); got != 1 {
				t.Errorf("%s %v times, want once", c.outcome, got)
			}
		})
	}
}

func TestTakeRelaysWithoutDelivery(t *testing.T) {
	nets := line(t, func(i int) Handlers {
		return judge{transactions: func(context.Context, domain.PublicKey, [][]byte) Verdict {
			if i == 1 {
				return Take
			}
			return Accept
		}}
	})
	if err := nets[0].PublishTransactions([][]byte{[]byte("tx")}); err != nil {
		t.Fatal(err)
	}
	receive(t, nets[2].Transactions())
	if got := nets[1].outcomes(topicTx, "taken"); got != 1 {
		t.Errorf("taken %v times", got)
	}
	if len(nets[1].Transactions()) != 0 {
		t.Error("delivered what the handler had taken")
	}
}

func TestSameContentOnce(t *testing.T) {
	nets := meshOf(t, 4, accepting, nil)
	// Three nodes publish the same bytes on the same topic; the fourth must see them once.
	for _, n := range nets[:3] {
		if err := n.PublishObservation([]byte("same")); err != nil {
			t.Fatal(err)
		}
	}
	if m := receive(t, nets[3].Observations()); string(m.Raw) != "same" {
		t.Fatalf("got %q", m.Raw)
	}
	// The same bytes on another topic are another message: nobody can have an observation dropped
	// by sending it elsewhere first.
	if err := nets[0].PublishEvidence([]byte("same")); err != nil {
		t.Fatal(err)
	}
	receive(t, nets[3].Evidence())
	eventually(t, "one accepted", func() bool { return nets[3].outcomes(topicObs, "accepted") == 1 })
	if more := len(nets[3].Observations()); more != 0 {
		t.Errorf("%d more waiting", more)
	}
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	nets := meshOf(t, 2, accepting, func(i int, c *Config) {
		if i == 1 {
			c.Queue = 2
		}
	})
	for i := range 5 {
		if err := nets[0].PublishObservation([]byte{byte(i + 1)}); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "three dropped, two accepted", func() bool {
		return nets[1].outcomes(topicObs, "dropped") == 3 && nets[1].outcomes(topicObs, "accepted") == 2
	})
}

func TestPublishRefusesSizes(t *testing.T) {
	n := startNet(t, testConfig(0), judge{})
	for name, err := range map[string]error{
		"empty transaction": n.PublishTransactions([][]byte{{1}, {}}),
		"large transaction": n.PublishTransactions([][]byte{make([]byte, MaxTransaction+1)}),
		"empty observation": n.PublishObservation(nil),
		"large observation": n.PublishObservation(make([]byte, MaxObservation+1)),
		"large peer record": n.PublishPeer(make([]byte, MaxPeer+1)),
		"large evidence":    n.PublishEvidence(make([]byte, MaxEvidence+1)),
	} {
		if !isErr(err, ErrSize) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := n.PublishTransactions(nil); err != nil {
		t.Errorf("no transactions: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := n.PublishObservation([]byte("late")); !isErr(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
	if err := n.PublishTransactions([][]byte{[]byte("late")}); !isErr(err, ErrClosed) {
		t.Errorf("after close: %v", err)
	}
}

// A handler that is slow sees its context end.
func TestValidationTimeBounded(t *testing.T) {
	ended := make(chan error, 1)
	nets := meshOf(t, 2, func(int) Handlers {
		return judge{message: func(ctx context.Context, _ topic, _ domain.PublicKey, _ []byte) Verdict {
			<-ctx.Done()
			ended <- ctx.Err()
			return Ignore
		}}
	}, func(_ int, c *Config) { c.ValidateTimeout = 10 * time.Millisecond })
	if err := nets[0].PublishObservation([]byte("slow")); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended); !isErr(err, context.DeadlineExceeded) {
		t.Errorf("context ended with %v", err)
	}
}
