package store

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/utxo"
)

// Old observations go, with their forks; each chain keeps the newest old one and all that is newer, and the own chain
// goes on where it was, also in the next life.
func TestPrune(t *testing.T) {
	o := testOptions(vfs.NewMem())
	s := mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	const step = 1000
	heads := make([]observation.Head, len(peers))
	fork := seal(peers[0], observation.Head{}, now+1)
	if err := s.SaveObservations([]*observation.Observation{fork}); err != nil {
		t.Fatal(err)
	}
	var last *observation.Observation
	head := observation.Head{}
	for i := range 10 {
		for j, p := range peers {
			ob := seal(p, heads[j], uint64(now+i*step))
			heads[j] = ob.Head()
			if err := s.SaveObservations([]*observation.Observation{ob}); err != nil {
				t.Fatal(err)
			}
		}
		last = seal(own, head, uint64(now+i*step))
		head = last.Head()
		if err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{last}}); err != nil {
			t.Fatal(err)
		}
	}
	beyond := seal(peers[0], observation.Head{Height: 20, Hash: gold}, now-5) // its time is old, its place is not
	if err := s.SaveObservations([]*observation.Observation{beyond}); err != nil {
		t.Fatal(err)
	}
	count := func(id observation.ChainID) (heights []uint64) {
		for _, ob := range collect(t, s.Observations(id, 0, ^uint64(0))) {
			heights = append(heights, ob.Header.Height)
		}
		return heights
	}
	check := func(first int) {
		t.Helper()
		for _, k := range append(peers[1:], own) {
			got := count(observation.ChainID{Key: k.Public()})
			if len(got) != 10-first+1 || got[0] != uint64(first) {
				t.Errorf("heights %v, want from %d", got, first)
			}
		}
		if s.Head(ownChain(0)) != last.Head() {
			t.Errorf("own head %+v", s.Head(ownChain(0)))
		}
	}
	if ms, err := s.PrunedMS(); ms != 0 || err != nil {
		t.Errorf("pruned before %d, %v", ms, err)
	}
	if _, err := s.PruneObservations(now); err != nil {
		t.Fatal(err)
	}
	check(1) // nothing is older
	if _, err := s.PruneObservations(now + 4*step); err != nil {
		t.Fatal(err)
	}
	check(4)                                                          // heights 1 to 4 are older, and 4 stays
	for few, want := range map[uint64]int{0: 0, 1: 1, 3: 3, 100: 7} { // where all clocks are far behind
		n := 0
		for _, o := range collect(t, s.ObservationsSince(now+100*step, few)) {
			if o.Header.Key == peers[1].Public() {
				n++
			}
		}
		if n != want {
			t.Errorf("%d of the last %d of a chain, want %d", n, few, want)
		}
	}
	for height, want := range map[uint64]bool{0: false, 1: true, 4: false, 10: false, 11: false} { // 1 is believed
		if signed, err := s.Signed(ownChain(0), height, gold); signed != want || err != nil {
			t.Errorf("another one at height %d: signed %t, %v", height, signed, err)
		}
	}
	if signed, err := s.Signed(ownChain(0), 10, last.Hash); !signed || err != nil {
		t.Errorf("what was signed: %t, %v", signed, err)
	}
	if forks := collect(t, s.Forks(observation.ChainID{Key: peers[0].Public()}, 1)); len(forks) != 0 {
		t.Errorf("%d forks are left", len(forks))
	}
	if ms, err := s.PrunedMS(); ms != now+4*step || err != nil {
		t.Errorf("pruned before %d, %v", ms, err)
	}
	if _, err := s.PruneObservations(now + 100*step); err != nil {
		t.Fatal(err)
	}
	check(10) // a head is never dropped
	if got := count(observation.ChainID{Key: peers[0].Public()}); len(got) != 2 || got[1] != 21 {
		t.Errorf("the chain with a gap has heights %v", got)
	}
	mustClose(t, s)
	s = mustOpen(t, o)
	check(10)
	if err := s.SaveVotes(VoteBatch{Observations: sealRow(own, s.Head(ownChain(0)), now, 1)}); err != nil {
		t.Errorf("the own chain does not go on: %v", err)
	}
}

// A proof that was kept outlives the observations that it was made of.
func TestKeptProofs(t *testing.T) {
	s := openTest(t)
	tx := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1))
	if _, ok, err := s.Proof(tx.ID); ok || err != nil {
		t.Errorf("a proof that was not kept: %v, %v", ok, err)
	}
	if err := s.SaveProof(tx.ID, []byte("proof")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.PruneObservations(^uint64(0)); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.Proof(tx.ID); err != nil || !ok || !bytes.Equal(got, []byte("proof")) {
		t.Errorf("%q, %v, %v", got, ok, err)
	}
}
