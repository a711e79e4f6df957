package gossip

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// numbered are so many different ids.
func numbered(n int) (all ids) {
	for i := range n {
		all = append(all, domain.Sum(domain.TagTx, []byte{byte(i), byte(i >> 8)}))
	}
	slices.SortFunc(all, domain.Hash.Compare)
	return all
}

// reconcile goes through a session with one peer over the wire.
func reconcile(t *testing.T, n *Net, key domain.PublicKey, own ids) (missing ids, err error) {
	t.Helper()
	s := setsync.NewSession(own, SetLimits)
	for {
		asked, err := s.Next()
		if err != nil || len(asked) == 0 {
			return missing, err
		}
		reply, err := n.PullSet(t.Context(), key, asked)
		if err != nil {
			return missing, err
		}
		more, err := s.Take(reply)
		if err != nil {
			return missing, err
		}
		missing = append(missing, more...)
	}
}

// What a peer has and this node lacks is found over the wire, whatever the sizes; a reply that is none is told from one.
func TestPullSet(t *testing.T) {
	all := numbered(3000)
	much, little, liar := newStore(), newStore(), newStore()
	much.set, little.set = all, all[:20]
	liar.reply = &setsync.Reply{Answered: 1, Ranges: []setsync.Range{{Bounds: setsync.Bounds{From: domain.Hash{1}}, Listed: true}}}
	n, keys, _ := pullers(t, nil, much, little, liar)
	for name, own := range map[string]ids{"nothing": nil, "all": all, "some": all[:2000], "all but one": slices.Delete(slices.Clone(all), 1234, 1235)} {
		missing, err := reconcile(t, n, keys[0], own)
		slices.SortFunc(missing, domain.Hash.Compare)
		want := slices.DeleteFunc(slices.Clone(all), func(id domain.Hash) bool { return slices.Contains(own, id) })
		if err != nil || !slices.Equal(missing, want) {
			t.Errorf("with %s: %d missing, want %d, %v", name, len(missing), len(want), err)
		}
	}
	if missing, err := reconcile(t, n, keys[1], all); err != nil || len(missing) > 0 {
		t.Errorf("of one that has less: %d, %v", len(missing), err)
	}
	if _, err := reconcile(t, n, keys[2], nil); !errors.Is(err, setsync.ErrBounds) {
		t.Errorf("of a liar: %v", err)
	}
	if n.Blame(keys[2]); n.ledger.points(keys[2], time.Now()) == 0 {
		t.Error("who is blamed keeps its standing")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := n.PullSet(ctx, keys[0], []setsync.Range{{}}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// The largest messages fit the limits of the wire, and what is sent is what the schema calls canonical.
func TestSetMessagesAreCanonical(t *testing.T) {
	all := numbered(4000)
	var reply setsync.Reply
	full := setsync.Range{Listed: true, IDs: all[:SetLimits.IDs]}
	for i := range SetLimits.Ranges - 1 {
		reply.Ranges = append(reply.Ranges, setsync.Range{Bounds: setsync.Bounds{From: all[i], To: all[i+1]}, Digest: setsync.Digest{1}, Count: 1 << 63})
	}
	reply.Answered, reply.Ranges = SetLimits.Ranges, append(reply.Ranges, full)
	raw := encodeReply(&reply)
	var m notaryv1.PullSetResponse
	if err := setSchema.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	again, err := canonical.Marshal(&m)
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("not canonical: %v", err)
	}
	if got := decodeReply(raw); got.Answered != reply.Answered || !slices.EqualFunc(got.Ranges, reply.Ranges, func(a, b setsync.Range) bool {
		return a.Bounds == b.Bounds && a.Digest == b.Digest && a.Count == b.Count && a.Listed == b.Listed && slices.Equal(a.IDs, b.IDs)
	}) {
		t.Error("a reply does not come back")
	}
	var request []byte
	for i := range SetLimits.Ranges {
		request = appendBytes(request, tag1Bytes, appendRange(nil, &setsync.Range{Bounds: setsync.Bounds{From: all[i], To: all[i+1]}, Count: 1 << 63}))
	}
	if err := setReqSchema.Check(request); err != nil {
		t.Error(err)
	}
	if _, err := answer(t.Context(), pullSet, domain.PublicKey{}, append(request, request...), newStore()); !errors.Is(err, errRequest) {
		t.Errorf("too many ranges: %v", err)
	}
	for name, r := range map[string]*notaryv1.SetRange{"nothing": {}, "before itself": {From: all[1][:], To: all[0][:], Digest: make([]byte, 16)}} {
		raw, err := canonical.Marshal(&notaryv1.PullSetRequest{Ranges: []*notaryv1.SetRange{r, r}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := answer(t.Context(), pullSet, domain.PublicKey{}, raw, newStore()); !errors.Is(err, errRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
