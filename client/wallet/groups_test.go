package wallet

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

// TestGroups: what proofs led to is kept by epoch, outputs are filled in, pins stay; a second group of an epoch is
// refused, and the earliest that nobody pinned go first.
func TestGroups(t *testing.T) {
	a := kit.New("groups", kit.Equal(4)...).Ages()
	for range maxGroups + 3 {
		a.Grow(a.Next(a.Group.Members()...))
	}
	networks := NewStore(t.TempDir()).Networks()
	id := a.Genesis.ID
	if all, err := networks.Groups(id); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	anchor := func(epoch int) observation.Anchor {
		return observation.Anchor{Group: a.Groups[epoch], Output: a.Links[epoch-1].Output}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bare := anchor(5)
	bare.Output = observation.GroupOutput{}
	must(networks.Remember(id, []observation.Anchor{bare}))
	must(networks.PinGroup(id, anchor(2)))
	must(networks.Remember(id, []observation.Anchor{anchor(5), anchor(3)}))
	all, err := networks.Groups(id)
	must(err)
	if len(all) != 3 || all[0].Group.Epoch() != 2 || !all[0].Pinned || all[1].Group.Epoch() != 3 || all[2].Group.Epoch() != 5 || all[2].Output != anchor(5).Output || all[2].Pinned {
		t.Errorf("%+v", all)
	}
	rival := kit.New("groups", kit.Equal(4)...).Ages()
	for epoch := range 3 {
		members := slices.Clone(rival.Group.Members())
		if epoch == 2 {
			members = members[1:]
			members[0].Weight *= 2
		}
		rival.Grow(rival.Next(members...))
	}
	if err := networks.Remember(id, []observation.Anchor{{Group: rival.Groups[3]}}); err == nil || !strings.Contains(err.Error(), rival.Groups[3].Link().String()) {
		t.Errorf("a second group of epoch 3: %v", err)
	}
	var many []observation.Anchor
	for epoch := range maxGroups + 3 {
		many = append(many, anchor(epoch+1))
	}
	must(networks.Remember(id, many))
	all, err = networks.Groups(id)
	must(err)
	if len(all) != maxGroups || all[0].Group.Epoch() != 2 || all[1].Group.Epoch() != 5 || all[maxGroups-1].Group.Epoch() != maxGroups+3 {
		t.Errorf("%d kept, from epochs %d and %d", len(all), all[0].Group.Epoch(), all[1].Group.Epoch())
	}
	whole, err := os.ReadFile(networks.groupsPath(id))
	must(err)
	for name, content := range map[string]string{
		"no JSON": "{", "no group": `[{"link":"` + domain.Hash{1}.String() + `"}]`,
		"another link": strings.Replace(string(whole), all[3].Group.Link().String(), all[4].Group.Link().String(), 1),
	} {
		must(os.WriteFile(networks.groupsPath(id), []byte(content), 0o600))
		if _, err := networks.Anchors(id); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
