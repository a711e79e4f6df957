package epoch

import (
	"encoding/binary"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
)

var network = domain.Sum(domain.TagGenesis, []byte("a network for tests"))

// master is the master key of the i-th peer, as bytes: nothing here signs.
func master(i int) domain.PublicKey {
	return domain.PublicKey(domain.Sum(domain.TagPeer, binary.BigEndian.AppendUint32([]byte("master"), uint32(i))))
}

func id(i int) domain.Hash { return group.PeerID(master(i)) }

// key is the k-th node key of the i-th peer.
func key(i, k int) domain.PublicKey {
	return domain.PublicKey(domain.Sum(domain.TagWork, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(i)), uint32(k))))
}

// peer is a version of what the i-th peer says: one key, and a label for each score.
func peer(i int, version uint64, scores map[int]int32) *group.Peer {
	p := &group.Peer{ID: id(i), Master: master(i), Version: version, Keys: []group.CertifiedKey{{NodeKey: group.NodeKey{Key: key(i, 0)}}}}
	for to, score := range scores {
		if to != i {
			p.Labels = append(p.Labels, group.Label{Peer: id(to), Score: score})
		}
	}
	slices.SortFunc(p.Labels, func(a, b group.Label) int { return a.Peer.Compare(b.Peer) })
	return p
}

// seeds is a state of n seeds of equal weight.
func seeds(t testing.TB, n int) *State {
	t.Helper()
	var members []group.Member
	for i, w := range group.Split(n) {
		members = append(members, group.Member{PeerID: id(i), Weight: w, Keys: []group.NodeKey{{Key: key(i, 0)}}})
	}
	g, err := group.New(network, 0, domain.Hash{}, members, nil)
	if err != nil {
		t.Fatal(err)
	}
	return Start(g)
}

// weight of the i-th peer in a group.
func weight(g *group.Group, i int) group.Weight {
	for _, m := range g.Members() {
		if m.PeerID == id(i) {
			return m.Weight
		}
	}
	return 0
}

// fatal is what both kinds of tests have.
type fatal interface {
	Helper()
	Fatalf(format string, args ...any)
}

// follow makes the next link, judges it and goes on.
func follow(t fatal, s *State, read []*group.Peer, convictions ...Conviction) *State {
	t.Helper()
	next, err := s.Next(read, convictions)
	if err != nil {
		t.Fatalf("next: %v", err)
	}
	if Same(s.Group(), next) {
		return s
	}
	if err := s.Judge(next, read, convictions); err != nil {
		t.Fatalf("its own next group: %v", err)
	}
	return s.After(next, read)
}

// genScores draws what one of n peers says.
func genScores(t *rapid.T, i, n int) map[int]int32 {
	scores := make(map[int]int32)
	for range rapid.IntRange(0, 4).Draw(t, "labels") {
		if to := rapid.IntRange(0, n-1).Draw(t, "ratee"); to != i {
			scores[to] = rapid.Int32Range(-group.MaxScore, group.MaxScore).Draw(t, "score")
		}
	}
	return scores
}

// genRead draws the first version of each of n peers.
func genRead(t *rapid.T, n int) []*group.Peer {
	var read []*group.Peer
	for i := range n {
		read = append(read, peer(i, 1, genScores(t, i, n)))
	}
	return read
}

func moved(a, b *group.Group) group.Weight { return trust.Distance(sharesOf(a), sharesOf(b)) }
