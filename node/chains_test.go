package node

import (
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// TestChainsOfFormerKeys: however many node keys have come and gone, those that count now are heard, and nothing of a chain that was
// forgotten meanwhile is taken for new.
func TestChainsOfFormerKeys(t *testing.T) {
	c := newCourt(t)
	const former, room = 40, 20
	net := kit.New("former", kit.Equal(former+2)...)
	st, err := store.Open("former", store.Options{
		Network: net.Genesis.ID, Key: kit.Key(999).Public(), SigningEpoch: 1, Create: true, InMemory: true, MemBytes: 4 << 20, CacheBytes: 1 << 20,
		Genesis: utxo.Delta{Tx: net.Genesis.ID}, GenesisMS: kit.StartMS,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	present := map[domain.PublicKey]bool{}
	for _, s := range net.Signers[former:] {
		present[s.Head.Key] = true
	}
	ob := &observer{
		groupOf: func(h *observation.Header) (*group.Group, int) {
			voter, _ := net.Group.Voter(h.Key)
			return net.Group, voter
		},
		counts: func(id observation.ChainID) bool { return present[id.Key] },
		group:  func() *group.Group { return net.Group },
		chains: observation.NewChains(4, room), store: st, alarms: newAlarms(), log: c.sh.log, metrics: c.sh.metrics,
		ahead: make(map[observation.ChainID]map[uint64]*observation.Observation), asked: make(map[observation.ChainID]time.Time), heard: make(map[domain.PublicKey]time.Time),
		saw: func(observation.Head) {}, back: func() {}, pull: func(observation.ChainID, uint64, uint64) {},
	}
	ob.resume()
	take := func(s *kit.Signer) *observation.Observation {
		o := s.Observe(net.Group, kit.StartMS)
		ob.save = nil
		ob.follow(o)
		if err := st.SaveObservations(ob.save); err != nil {
			t.Fatal(err)
		}
		return o
	}
	var first []*observation.Observation
	for _, s := range net.Signers[:former] {
		first = append(first, take(s))
	}
	for _, s := range net.Signers[former:] {
		for height := range 3 {
			if take(s); len(ob.save) != 1 {
				t.Fatalf("observation %d of a voter is not heard: there were too many before", height+1)
			}
		}
	}
	ob.follow(first[0]) // of one that was forgotten, once more
	if h, ok := ob.chains.Head(first[0].Header.Chain()); ok && h.Height != 1 || len(ob.ahead) != 0 {
		t.Errorf("a chain that was forgotten is begun anew: %+v, %v", h, ok)
	}
	if next := take(net.Signers[0]); next.Header.Height != 2 || len(ob.ahead) != 0 || len(ob.save) != 1 {
		t.Errorf("a chain that was forgotten is not taken up where it was")
	}
}
