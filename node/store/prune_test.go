package store

import (
	"bytes"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
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
	prune := func(beforeMS uint64) {
		t.Helper()
		if err := pruneAll(s, beforeMS); err != nil {
			t.Fatal(err)
		}
	}
	if ms, err := s.PrunedMS(); ms != 0 || err != nil {
		t.Errorf("pruned before %d, %v", ms, err)
	}
	prune(now)
	check(1) // nothing is older
	prune(now + 4*step)
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
	prune(now + 100*step)
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

// past says that every link is of an epoch that is over.
var past = Walk{Past: func(domain.Hash) bool { return true }}

// pruneAll drops what is older than a time, in epochs that are over.
func pruneAll(s *Store, beforeMS uint64) error {
	cuts, err := s.Prunable(beforeMS, now, past)
	if err == nil {
		_, err = s.PruneObservations(beforeMS, cuts)
	}
	return err
}

// What a chain states of its times is a liar's word, or that of a clock that was set: a single time that is long past
// takes nothing with it that is not, and one far ahead keeps nothing.
func TestPruneAndClocks(t *testing.T) {
	const step, ages = 1000, 1_000_000_000_000
	for name, c := range map[string]struct {
		times []uint64
		want  uint64 // the first height that stays of what is older than now + 4 steps
	}{
		"right":              {[]uint64{now, now + step, now + 5*step, now + 6*step}, 2},
		"set back at last":   {[]uint64{now, now + step, now + 5*step, 1}, 2},
		"set back and right": {[]uint64{now, now + step, now + 5*step, 1, now + 6*step, 1, now + 7*step}, 2},
		"set back at first":  {[]uint64{1, now + 5*step, now + 6*step}, 1},
		"far ahead at first": {[]uint64{now + ages, now, now + step, now + 5*step}, 3},
		"far ahead since":    {[]uint64{now, now + step, now + ages, now + ages}, 2},
		"far ahead for ever": {[]uint64{now + ages, now + ages, now + ages}, 1},
		"ahead by a day":     {[]uint64{now, now + clocksOff, now, now + 5*step}, 1},
		"all of it old":      {[]uint64{now, now, now}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t)
			head := observation.Head{}
			for _, at := range c.times {
				o := seal(peers[0], head, at)
				head = o.Head()
				if err := s.SaveObservations([]*observation.Observation{o}); err != nil {
					t.Fatal(err)
				}
			}
			if err := pruneAll(s, now+4*step); err != nil {
				t.Fatal(err)
			}
			left := collect(t, s.Observations(observation.ChainID{Key: peers[0].Public()}, 0, ^uint64(0)))
			if got := left[0].Header.Height; got != c.want || s.Head(observation.ChainID{Key: peers[0].Public()}).Height != uint64(len(c.times)) {
				t.Errorf("what stays begins at %d, want %d", got, c.want)
			}
		})
	}
}

// What the epoch that goes on may still have to walk stays, however old: all under its link and later ones but for what is
// clear, and one observation before.
func TestPruneKeepsWhatIsWalked(t *testing.T) {
	other := domain.Hash{7}
	for name, c := range map[string]struct {
		walk  Walk
		clear Clear
		want  uint64
	}{
		"an epoch that is over":  {past, Clear{}, 5},
		"nothing is clear":       {Walk{seeds.Link(), never}, Clear{}, 1},
		"some is clear":          {Walk{seeds.Link(), never}, Clear{seeds.Link(), map[observation.ChainID]uint64{{Key: peers[0].Public()}: 3}}, 3},
		"all is clear":           {Walk{seeds.Link(), never}, Clear{seeds.Link(), map[observation.ChainID]uint64{{Key: peers[0].Public()}: 5}}, 5},
		"clear in another epoch": {Walk{seeds.Link(), never}, Clear{other, map[observation.ChainID]uint64{{Key: peers[0].Public()}: 3}}, 1},
		"of another chain":       {Walk{seeds.Link(), never}, Clear{seeds.Link(), map[observation.ChainID]uint64{{Key: peers[1].Public()}: 3}}, 1},
		"under a later link":     {Walk{other, never}, Clear{other, map[observation.ChainID]uint64{{Key: peers[0].Public()}: 3}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := openTest(t)
			if err := s.SaveObservations(sealRow(peers[0], observation.Head{}, now, 5)); err != nil {
				t.Fatal(err)
			}
			if err := s.SaveClear(c.clear); err != nil {
				t.Fatal(err)
			}
			cuts, err := s.Prunable(^uint64(0), now, c.walk)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.PruneObservations(^uint64(0), cuts); err != nil {
				t.Fatal(err)
			}
			if left := collect(t, s.Observations(observation.ChainID{Key: peers[0].Public()}, 0, ^uint64(0))); left[0].Header.Height != c.want {
				t.Errorf("what stays begins at %d, want %d", left[0].Header.Height, c.want)
			}
		})
	}
}

// never says that no link is of an epoch that is over.
func never(domain.Hash) bool { return false }

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
	if err := pruneAll(s, ^uint64(0)); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.Proof(tx.ID); err != nil || !ok || !bytes.Equal(got, []byte("proof")) {
		t.Errorf("%q, %v, %v", got, ok, err)
	}
}
