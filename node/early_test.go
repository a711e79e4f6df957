package node

import (
	"bytes"
	"testing"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/refusal"
)

// beyond is an observation under a link that nobody here knows.
func beyond(s *kit.Signer, net *kit.Network, leaves int) *observation.Observation {
	var votes []observation.Leaf
	for i := range leaves {
		votes = append(votes, kit.Vote(domain.Sum(domain.TagTx, []byte{byte(i), byte(i >> 8)}), observation.Pending, 0, 1))
	}
	return s.Observe(net.Group, kit.StartMS, votes...)
}

// TestEarlyIsBounded: what waits for its link is bounded in number, in bytes and in time, and a node is not behind for ever for what never comes.
func TestEarlyIsBounded(t *testing.T) {
	net := kit.New("early", kit.Equal(4)...)
	now := time.Now()
	e := newEarly()
	if e.behind(now) {
		t.Error("behind nobody")
	}
	for i := range 2 * earlyOfOne {
		if first := e.keep(beyond(net.Signers[0], net, 1), now); first != (i == 0) {
			t.Errorf("observation %d: first %v", i, first)
		}
	}
	if e.n != earlyOfOne {
		t.Errorf("%d of one chain are kept", e.n)
	}
	large := beyond(net.Signers[1], net, 10_000)
	for s := range net.Signers[1:] {
		for range earlyOfOne {
			o := *large
			o.Header.Key = net.Signers[1+s].Head.Key
			e.keep(&o, now)
		}
	}
	if e.bytes > earlyBytes || e.bytes < earlyBytes-len(large.Raw) {
		t.Errorf("%d bytes are kept", e.bytes)
	}
	if !e.behind(now.Add(earlyPatience)) || e.behind(now.Add(earlyPatience+time.Second)) || e.waiting() || e.bytes != 0 {
		t.Errorf("%d wait after all patience", e.n)
	}
}

// TestEarlyKeepsNoMessages: what waits for its link does not keep the message that it came in, of which it may be a small part.
func TestEarlyKeepsNoMessages(t *testing.T) {
	net := kit.New("early", kit.Equal(4)...)
	e := newEarly()
	sent := []*observation.Observation{beyond(net.Signers[0], net, 2), beyond(net.Signers[0], net, 10_000)}
	message := observation.EncodeRuns(sent)[0]
	list, err := observation.DecodeRun(message, observation.Rules{Network: net.Genesis.ID})
	if err != nil || len(list) != len(sent) {
		t.Fatalf("%d observations: %v", len(list), err)
	}
	e.keep(list[0], time.Now())
	clear(message)
	kept := e.take(net.Group.Link())
	if len(kept) != 1 || !bytes.Equal(kept[0].Raw, sent[0].Raw) || kept[0].Leaf(1) != sent[0].Leaf(1) || kept[0].Hash != sent[0].Hash {
		t.Error("it is kept in the bytes of its message")
	}
}

// TestEarlyIsSigned: an observation under an unknown link is kept where its key counts and signed it; whoever passes on another one's name is blamed.
func TestEarlyIsSigned(t *testing.T) {
	v := newVillage(t, nil)
	n := v.start(0)
	member, stranger := v.signers[1], &kit.Signer{Key: kit.Key(77), Head: observation.Head{Key: kit.Key(77).Public()}}
	elsewhere := kit.New("elsewhere", kit.Equal(4)...)
	good := member.Observe(elsewhere.Group, kit.StartMS, kit.Vote(v.genesis.ID, observation.Pending, 0, 1))
	forged := *good
	forged.Signature[5] ^= 1
	for name, c := range map[string]struct {
		o      *observation.Observation
		reason notaryv1.Reason
		kept   int
	}{
		"forged":   {&forged, notaryv1.Reason_REASON_BAD_SIGNATURE, 0},
		"stranger": {stranger.Observe(elsewhere.Group, kit.StartMS, kit.Vote(v.genesis.ID, observation.Pending, 0, 1)), notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, 0},
		"good":     {good, notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, 1},
	} {
		before := n.sh.early.n
		if err := n.sh.observe(t.Context(), c.o); refusal.ReasonOf(err) != c.reason {
			t.Errorf("%s: %v", name, err)
		}
		if kept := n.sh.early.n - before; kept != c.kept {
			t.Errorf("%s: %d are kept", name, kept)
		}
	}
}
