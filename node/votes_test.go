package node

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// desk is a fetcher of votes whose peers are functions.
type desk struct {
	*voteFetcher
	mu     sync.Mutex
	pulled []gossip.Votes
	from   []domain.PublicKey
	told   []domain.Hash
	wanted []domain.Hash

	answer func(ctx context.Context, from domain.PublicKey, v gossip.Votes) bool
	onDisk func(tries int) (bool, error)
}

// numbers are how many questions were put so far, and of how many needs and hinters some are open.
func (d *desk) numbers() (pulled, needs, hinters int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.voteFetcher.mu.Lock()
	defer d.voteFetcher.mu.Unlock()
	return len(d.pulled), len(d.asked), len(d.hinted)
}

// inDesk runs a fetcher of votes under a fake clock.
func inDesk(t *testing.T, run func(d *desk)) {
	t.Helper()
	bubble.Test(t, func(t *testing.T) {
		d := &desk{voteFetcher: newVoteFetcher(slog.New(slog.DiscardHandler))}
		d.answer = func(context.Context, domain.PublicKey, gossip.Votes) bool { return true }
		d.onDisk = func(int) (bool, error) { return true, nil }
		d.candidates = func(named []domain.PublicKey) []domain.PublicKey { return named }
		d.pull = func(ctx context.Context, from []domain.PublicKey, v gossip.Votes) (bool, error) {
			d.mu.Lock()
			d.pulled, d.from = append(d.pulled, v), append(d.from, from...)
			d.mu.Unlock()
			return d.answer(ctx, from[0], v), nil
		}
		d.tell = func(_ context.Context, tx domain.Hash, _ domain.PublicKey) (bool, error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.told = append(d.told, tx)
			return d.onDisk(len(d.told))
		}
		d.want = func(tx domain.Hash, _ domain.PublicKey) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.wanted = append(d.wanted, tx)
		}
		d.undecided = func(domain.Hash) bool { return true }
		d.later = func(after time.Duration, do func()) { time.AfterFunc(after, do) }
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan struct{})
		go func() { d.voteFetcher.run(ctx); close(ended) }()
		synctest.Wait()
		run(d)
		cancel()
		<-ended
		if d.hint(kit.Key(0).Public(), gossip.FinalHint{}) {
			t.Error("a hint was taken after the end")
		}
	})
}

// TestNeedsAsked: what is being asked for is not asked for again, and may be once it was answered.
func TestNeedsAsked(t *testing.T) {
	network := kit.New("desk", kit.Equal(4)...)
	need := conflict.NeedCertificate{Tx: domain.Hash{1}, Round: 2, Group: network.Group, From: kit.Key(0).Public()}
	inDesk(t, func(d *desk) {
		release := make(chan struct{})
		d.answer = func(context.Context, domain.PublicKey, gossip.Votes) bool { <-release; return false }
		d.need(need)
		d.need(need)
		synctest.Wait()
		want := gossip.Votes{Tx: need.Tx, Round: 2, Link: network.Group.Link(), State: notaryv1.VoteState_VOTE_STATE_PENDING}
		if !slices.Equal(d.pulled, []gossip.Votes{want}) || d.from[0] != need.From {
			t.Errorf("asked for %+v of %v", d.pulled, d.from)
		}
		close(release)
		synctest.Wait()
		d.need(need)
		synctest.Wait()
		if pulled, needs, _ := d.numbers(); pulled != 2 || needs != 0 {
			t.Errorf("asked %d times, %d open", pulled, needs)
		}
	})
}

// TestNeedsBounded: peers that never answer hold up no more than the workers, and the queue is bounded.
func TestNeedsBounded(t *testing.T) {
	network := kit.New("desk", kit.Equal(4)...)
	inDesk(t, func(d *desk) {
		d.answer = func(ctx context.Context, _ domain.PublicKey, _ gossip.Votes) bool { <-ctx.Done(); return false }
		for i := range 2 * needQueue {
			d.need(conflict.NeedCertificate{Round: uint32(i), Group: network.Group})
		}
		synctest.Wait()
		if pulled, needs, _ := d.numbers(); pulled != needsAtOnce || needs > needQueue+needsAtOnce {
			t.Errorf("%d at once, %d remembered", pulled, needs)
		}
		time.Sleep(needPatience) // the fake clock
		synctest.Wait()
		if pulled, _, _ := d.numbers(); pulled != 2*needsAtOnce {
			t.Errorf("%d after the patience with the first", pulled)
		}
	})
}

// TestHintsFollowed: one who lies slowly delays nobody else's hints, and of its own only a few wait.
func TestHintsFollowed(t *testing.T) {
	slow, honest := kit.Key(1).Public(), kit.Key(2).Public()
	inDesk(t, func(d *desk) {
		release := make(chan struct{})
		d.answer = func(_ context.Context, from domain.PublicKey, _ gossip.Votes) bool {
			if from == slow {
				<-release
				return false
			}
			return true
		}
		taken := 0
		for i := range 4 * hintsPerPeer {
			if d.hint(slow, gossip.FinalHint{Round: uint32(i)}) {
				taken++
			}
			synctest.Wait()
		}
		if taken != hintsPerPeer+1 {
			t.Errorf("%d hints of one peer were taken", taken)
		}
		if !d.hint(slow, gossip.FinalHint{Round: 1}) {
			t.Error("a hint that waits already takes no room")
		}
		tx := domain.Hash{9}
		d.hint(honest, gossip.FinalHint{Tx: tx})
		synctest.Wait()
		if !slices.Equal(d.wanted, []domain.Hash{tx}) {
			t.Errorf("wanted %v", d.wanted)
		}
		close(release)
		synctest.Wait()
		if _, _, hinters := d.numbers(); hinters != 0 {
			t.Errorf("%d peers left behind", hinters)
		}
		if len(d.wanted) != 1 {
			t.Error("transactions of lies were asked for")
		}
		d.undecided = func(domain.Hash) bool { return false }
		before := len(d.pulled)
		d.hint(honest, gossip.FinalHint{Tx: domain.Hash{10}})
		synctest.Wait()
		if len(d.pulled) != before {
			t.Error("asked about what is final here")
		}
	})
}

// TestHands: a voter is told once the transaction is on disk, and not for ever.
func TestHands(t *testing.T) {
	for name, c := range map[string]struct {
		onDisk func(tries int) (bool, error)
		want   int
	}{
		"at once":     {func(int) (bool, error) { return true, nil }, 1},
		"a bit later": {func(tries int) (bool, error) { return tries == 3, nil }, 3},
		"never":       {func(int) (bool, error) { return false, nil }, handTries},
		"unreachable": {func(int) (bool, error) { return true, errors.New("gone") }, 1},
	} {
		inDesk(t, func(d *desk) {
			d.onDisk = c.onDisk
			d.hand(conflict.SendProof{Tx: domain.Hash{1}})
			time.Sleep(2 * handTries * handAgain) // the fake clock
			synctest.Wait()
			if len(d.told) != c.want {
				t.Errorf("%s: told %d times, want %d", name, len(d.told), c.want)
			}
		})
	}
}

// TestPulledVotes: only a signed vote of this epoch, and the one that was asked for, is believed.
func TestPulledVotes(t *testing.T) {
	c := newCourt(t)
	tx := domain.Hash{1}
	v := gossip.Votes{Tx: tx, Round: 1, Link: c.net.Group.Link(), State: notaryv1.VoteState_VOTE_STATE_PENDING}
	c.sh.obsRules = observation.Rules{Network: c.net.Genesis.ID}
	s := c.net.Signers[1]
	sign := func(g *group.Group, leaves ...observation.Leaf) []byte {
		return s.Observe(g, kit.StartMS, leaves...).Raw
	}
	good := sign(c.net.Group, kit.Vote(domain.Hash{2}, observation.Pending, 1, kit.StartMS), kit.Vote(tx, observation.Pending, 1, kit.StartMS))
	if o, err := c.sh.pulledVote(good, v); err != nil || leafOf(o, v) != 1 {
		t.Fatalf("%v", err)
	}
	stranger := &kit.Signer{Key: kit.Key(77), Head: observation.Head{Key: kit.Key(77).Public(), SigningEpoch: 1}}
	cases := map[string][]byte{
		"another transaction": sign(c.net.Group, kit.Vote(domain.Hash{2}, observation.Pending, 1, kit.StartMS)),
		"another round":       sign(c.net.Group, kit.Vote(tx, observation.Pending, 2, kit.StartMS)),
		"another state":       sign(c.net.Group, kit.Vote(tx, observation.Accepted, 1, kit.StartMS)),
		"nothing":             sign(c.net.Group),
		"no voter":            stranger.Observe(c.net.Group, kit.StartMS, kit.Vote(tx, observation.Pending, 1, kit.StartMS)).Raw,
		"truncated":           good[:len(good)-1],
		"not signed": observation.Seal(s.Head, c.net.Group,
			[]observation.Leaf{kit.Vote(tx, observation.Pending, 1, kit.StartMS)}, kit.StartMS).Signed(domain.Signature{1}).Raw,
	}
	for name, raw := range cases {
		if _, err := c.sh.pulledVote(raw, v); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
