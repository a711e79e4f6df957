package gossip

import (
	"fmt"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

// Whoever brings news on every topic stands well, but the addresses that it offers are followed only where it is a member.
func TestExchangeIsForMembers(t *testing.T) {
	nets := meshOf(t, 2, accepting, nil)
	n, busy := nets[0], nets[1]
	for i := range 30 { // one after the other, as a burst may be more than queues and validators take
		raw := fmt.Appendf(nil, "message %d", i)
		for _, publish := range []func([]byte) error{busy.PublishObservation, busy.PublishPeer, busy.PublishEvidence} {
			if err := publish(raw); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the news", func() bool { return n.outcomes(topicEvidence, "accepted") == float64(i+1) })
	}
	score := func() float64 { return n.Peers()[0].Score }
	eventually(t, "credit for its news", func() bool { return score() > 0 })
	time.Sleep(1500 * time.Millisecond) // the router's next look
	if s := score(); s >= exchangeThreshold {
		t.Errorf("a stranger has a score of %v", s)
	}
	n.SetMembers([]domain.PublicKey{busy.Key()})
	eventually(t, "trust in a member", func() bool { return score() > exchangeThreshold })
}
