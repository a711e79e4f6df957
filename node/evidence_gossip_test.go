package node

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/node/epoch"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// validate is what gossip does with evidence.
func (c *court) validate(raw []byte) gossip.Verdict {
	return handlers{c.sh}.ValidateEvidence(context.Background(), c.net.Signers[1].Head.Key, raw)
}

// TestValidateEvidence: what is new and convicts is kept and passed on, what says nothing new is dropped, and what
// convicts nobody is blamed on its sender.
func TestValidateEvidence(t *testing.T) {
	c := newCourt(t)
	fork := func(s kit.Signer, salt uint64) *observation.Evidence {
		a, b := s, s
		e, err := observation.ForkedChain(a.Observe(c.net.Group, kit.StartMS+salt).Signed(), b.Observe(c.net.Group, kit.StartMS+salt+1).Signed())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	good := fork(*c.net.Signers[2], 0)
	if v := c.validate(good.Raw); v != gossip.Take || len(c.published) != 0 || !slices.Equal(c.listed, []domain.Hash{good.Hash}) {
		t.Fatalf("verdict %v, published %d times, listed %v", v, len(c.published), c.listed)
	}
	stranger := kit.Signer{Key: kit.Key(77), Head: observation.Head{Key: kit.Key(77).Public(), SigningEpoch: 1}}
	otherEpoch := *c.net.Signers[3]
	otherEpoch.Head.SigningEpoch = 9
	a, b := *c.net.Signers[3], *c.net.Signers[3]
	x, y := a.Observe(c.net.Group, kit.StartMS).Signed(), b.Observe(c.net.Group, kit.StartMS+1).Signed()
	y.Signature[5] ^= 1
	forged, err := observation.ForkedChain(x, y)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		raw  []byte
		want gossip.Verdict
	}{
		"known":            {good.Raw, gossip.Ignore},
		"more of the same": {fork(*c.net.Signers[2], 10).Raw, gossip.Ignore},
		"of a stranger":    {fork(stranger, 0).Raw, gossip.Ignore},
		"of another epoch": {fork(otherEpoch, 0).Raw, gossip.Ignore},
		"an unknown kind":  {[]byte{0x08, 6}, gossip.Ignore},
		"finals missing":   {[]byte{0x08, 5}, gossip.Reject},
		"forged":           {forged.Raw, gossip.Reject},
		"garbage":          {[]byte("garbage"), gossip.Reject},
		"a byte more":      {append(slices.Clone(good.Raw), 0), gossip.Reject},
		"nothing":          {nil, gossip.Ignore},
	} {
		if got := c.validate(v.raw); got != v.want {
			t.Errorf("%s: %v, want %v", name, got, v.want)
		}
	}
	if n := len(c.kept()); n != 1 || c.failed != nil {
		t.Fatalf("%d pieces kept, %v", n, c.failed)
	}
	refused, surplus := c.counted("evidence_refused_total"), c.counted("evidence_surplus_total")
	if refused != 4 || surplus != 6 {
		t.Errorf("%v refused, %v surplus", refused, surplus)
	}
}

// TestEvidenceOfFormerKeys: who has replaced his key, or its signing epoch, is convicted by what he did with the old one, once; who was
// never in a group with it is not.
func TestEvidenceOfFormerKeys(t *testing.T) {
	c := newCourt(t)
	fork := func(s kit.Signer, salt uint64) []byte {
		a, b := s, s
		e, err := observation.ForkedChain(a.Observe(c.net.Group, kit.StartMS+salt).Signed(), b.Observe(c.net.Group, kit.StartMS+salt+1).Signed())
		if err != nil {
			t.Fatal(err)
		}
		return e.Raw
	}
	// The keys of the first two are replaced, the signing epoch of the third goes up, and the fourth leaves.
	old := c.net.Group.Members()
	members := slices.Clone(old[:3])
	owner := func(s *kit.Signer) int {
		return slices.IndexFunc(old, func(m group.Member) bool { return m.Keys[0].Key == s.Head.Key })
	}
	for i := range members {
		members[i].Keys = []group.NodeKey{{Key: kit.Key(90 + i).Public(), SigningEpoch: 1}}
	}
	members[2].Keys = []group.NodeKey{{Key: old[2].Keys[0].Key, SigningEpoch: 2}}
	members[0].Weight += old[3].Weight
	next, err := group.New(c.net.Genesis.ID, 1, c.net.Group.Link(), members, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.sh.epochs.present.Store(next)
	c.sh.keeper.seen.Store(&trusted{state: epoch.Start(c.net.Group).After(next, nil)})
	for _, s := range c.net.Signers {
		want := gossip.Take
		if owner(s) == 3 {
			want = gossip.Ignore
		}
		never := *s
		never.Head.SigningEpoch = 7
		if got := c.validate(fork(never, 0)); got != gossip.Ignore {
			t.Errorf("in a signing epoch that never counted: %v", got)
		}
		if got := c.validate(fork(*s, 0)); got != want {
			t.Errorf("of member %d of epoch 0: %v, want %v", owner(s), got, want)
		}
	}
	// More against one who is convicted would say nothing new.
	s := c.net.Signers[slices.IndexFunc(c.net.Signers, func(s *kit.Signer) bool { return owner(s) == 0 })]
	tx := c.rivals(2)
	twin := *s
	x := s.Observe(c.net.Group, kit.StartMS, kit.Vote(tx[0].ID, observation.Pending, 0, 1)).Edge(0)
	y := twin.Observe(c.net.Group, kit.StartMS, kit.Vote(tx[1].ID, observation.Pending, 0, 1)).Edge(0)
	more, err := observation.ContradictingVotes(x, y, tx[0].Body, tx[1].Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.validate(more.Raw); got != gossip.Ignore || len(c.kept()) != 3 {
		t.Errorf("more of it: %v, %d pieces kept", got, len(c.kept()))
	}
}

// TestEvidenceFlood: one neighbour is looked at a bounded number of times in a window, and others all the same.
func TestEvidenceFlood(t *testing.T) {
	c := newCourt(t)
	rejected := 0
	for range 10 * evidenceBurst {
		if c.validate([]byte("garbage")) == gossip.Reject {
			rejected++
		}
	}
	if rejected != evidenceBurst {
		t.Fatalf("looked at %d messages, want %d", rejected, evidenceBurst)
	}
	other := kit.Key(5).Public()
	if !c.sh.turnstile.pass(other) {
		t.Fatal("another neighbour pays for it")
	}
	c.sh.turnstile.since = c.sh.turnstile.since.Add(-2 * c.sh.turnstile.window)
	if !c.sh.turnstile.pass(c.net.Signers[1].Head.Key) {
		t.Fatal("the window does not end")
	}
}

// TestEvidencePages: pages follow each other without gap or repetition, whatever their size.
func TestEvidencePages(t *testing.T) {
	c := newCourt(t)
	var want []string
	for i := range 4 {
		a, b := *c.net.Signers[i], *c.net.Signers[i]
		e, err := observation.ForkedChain(a.Observe(c.net.Group, kit.StartMS).Signed(), b.Observe(c.net.Group, kit.StartMS+1).Signed())
		if err != nil {
			t.Fatal(err)
		}
		if added, err := c.sh.archive.keep(e, ownEvidence); !added || err != nil {
			t.Fatal(added, err)
		}
	}
	for _, e := range c.kept() {
		want = append(want, string(e.Raw))
	}
	node := &Node{sh: c.sh}
	for limit := range 6 {
		var got []string
		for token, pages := "", 0; pages == 0 || token != ""; pages++ {
			raws, next, err := node.Evidence(t.Context(), token, limit)
			if err != nil || limit > 0 && len(raws) > limit {
				t.Fatalf("%d pieces, %v", len(raws), err)
			}
			for _, raw := range raws {
				got = append(got, string(raw))
			}
			token = next
		}
		if !slices.Equal(got, want) {
			t.Fatalf("limit %d: %d pieces of %d", limit, len(got), len(want))
		}
	}
	if _, _, err := node.Evidence(t.Context(), "nonsense", 1); err == nil {
		t.Fatal("a token of nothing")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := node.Evidence(ended, "", 1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}

// TestArchiveRefuses: what convicts nobody is not kept, whoever made it.
func TestArchiveRefuses(t *testing.T) {
	c := newCourt(t)
	elsewhere := kit.New("elsewhere", kit.Equal(4)...)
	a, b := *elsewhere.Signers[1], *elsewhere.Signers[1]
	e, err := observation.ForkedChain(a.Observe(elsewhere.Group, kit.StartMS).Signed(), b.Observe(elsewhere.Group, kit.StartMS+1).Signed())
	if err != nil {
		t.Fatal(err)
	}
	if added, err := c.sh.archive.keep(e, ownEvidence); added || err == nil {
		t.Fatal(added, err)
	}
	c.wantKept()
	if len(c.published)+len(c.listed) > 0 {
		t.Fatal("published or listed all the same")
	}
	// Nor is what such a store would hold taken up.
	if _, err := c.sh.store.SaveEvidence(e); err != nil {
		t.Fatal(err)
	}
	if err := newArchive(c.sh.genesis.ID, c.sh.self, c.sh.store, c.sh.log, c.sh.metrics.evidence).restore(); err == nil {
		t.Fatal("evidence of another network was taken up")
	}
}

// thinDisk says how much is free.
type thinDisk struct {
	vfs.FS
	free atomic.Uint64
}

// GetDiskUsage implements vfs.FS.
func (d *thinDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: d.free.Load(), TotalBytes: 1 << 40}, nil
}

// TestEvidenceWithoutRoom: evidence that there is no room for ends no node, and is kept when it comes again.
func TestEvidenceWithoutRoom(t *testing.T) {
	disk := &thinDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 40)
	c := newCourt(t, func(o *store.Options) { o.FS, o.InMemory, o.ReserveBytes = disk, false, 1000 })
	c.sh.space = &space{room: c.sh.store.Room, log: c.sh.log, tell: func(string) {}}
	c.sh.archive.full = c.sh.space.noted
	fork := func(voter int) *observation.Evidence {
		a, b := *c.net.Signers[voter], *c.net.Signers[voter]
		e, err := observation.ForkedChain(a.Observe(c.net.Group, kit.StartMS).Signed(), b.Observe(c.net.Group, kit.StartMS+1).Signed())
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	disk.free.Store(400)
	if v := c.validate(fork(1).Raw); v != gossip.Ignore || c.failed != nil {
		t.Fatalf("gossiped: %v, %v", v, c.failed)
	}
	if added, err := c.sh.archive.keep(fork(2), ownEvidence); added || err != nil || len(c.published) > 0 || !c.sh.archive.empty() {
		t.Fatalf("found here: %v, %v, published %d times", added, err, len(c.published))
	}
	disk.free.Store(1 << 40)
	if v := c.validate(fork(1).Raw); v != gossip.Take {
		t.Errorf("gossiped again: %v", v)
	}
	if added, err := c.sh.archive.keep(fork(2), ownEvidence); !added || err != nil || len(c.published) != 1 {
		t.Errorf("found again: %v, %v", added, err)
	}
	c.wantKept(forkedChain, forkedChain)
}
