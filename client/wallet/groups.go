package wallet

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// maxGroups bounds what is kept of a network; pinned groups and the latest stay.
const maxGroups = 256

// KnownGroup is a group that is trusted beside genesis: walked to, or pinned by the user.
type KnownGroup struct {
	observation.Anchor
	// Pinned says that the user named its link hash: a checkpoint.
	Pinned bool
}

// keptGroup is its form in the file.
type keptGroup struct {
	Link   domain.Hash              `json:"link"`
	Group  []byte                   `json:"group"`
	Output *observation.GroupOutput `json:"output,omitempty"`
	Pinned bool                     `json:"pinned,omitempty"`
}

func (n *Networks) groupsPath(id domain.Hash) string {
	return filepath.Join(n.dir, id.String()+".groups.json")
}

// Groups are the groups trusted beside genesis, by ascending epoch.
func (n *Networks) Groups(network domain.Hash) ([]KnownGroup, error) {
	path := n.groupsPath(network)
	var kept []keptGroup
	if err := readFile(path, "the known groups", &kept); err != nil {
		return nil, err
	}
	all := make([]KnownGroup, len(kept))
	for i, k := range kept {
		g, err := group.Decode(k.Group)
		if err == nil && (g.Link() != k.Link || g.Network() != network) {
			err = errors.New("a group of another link or network")
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
		}
		all[i] = KnownGroup{Anchor: observation.Anchor{Group: g}, Pinned: k.Pinned}
		if k.Output != nil {
			all[i].Output = *k.Output
		}
	}
	return all, nil
}

// Anchors are the groups as a verifier learns them.
func (n *Networks) Anchors(network domain.Hash) ([]observation.Anchor, error) {
	all, err := n.Groups(network)
	anchors := make([]observation.Anchor, len(all))
	for i := range all {
		anchors[i] = all[i].Anchor
	}
	return anchors, err
}

// Remember keeps groups that a verified proof led to.
func (n *Networks) Remember(network domain.Hash, anchors []observation.Anchor) error {
	add := make([]KnownGroup, len(anchors))
	for i := range anchors {
		add[i] = KnownGroup{Anchor: anchors[i]}
	}
	return n.keep(network, add)
}

// PinGroup keeps a group whose link hash the user has compared.
func (n *Networks) PinGroup(network domain.Hash, a observation.Anchor) error {
	return n.keep(network, []KnownGroup{{Anchor: a, Pinned: true}})
}

func (n *Networks) keep(network domain.Hash, add []KnownGroup) error {
	return n.alone(func() error { return n.merge(network, add) })
}

func (n *Networks) merge(network domain.Hash, add []KnownGroup) error {
	all, err := n.Groups(network)
	if err != nil {
		return err
	}
	for _, k := range add {
		at, found := slices.BinarySearchFunc(all, k.Group.Epoch(), func(a KnownGroup, epoch uint64) int {
			return cmp.Compare(a.Group.Epoch(), epoch)
		})
		switch {
		case !found:
			all = slices.Insert(all, at, k)
		case all[at].Group.Link() != k.Group.Link():
			return fmt.Errorf("epoch %d has group %s here, and now %s: the network's history is broken, or one of them was pinned in error",
				k.Group.Epoch(), all[at].Group.Link(), k.Group.Link())
		default:
			all[at].Pinned = all[at].Pinned || k.Pinned
			if all[at].Output.Transaction.IsZero() {
				all[at].Output = k.Output
			}
		}
	}
	for i := 0; len(all) > maxGroups && i < len(all)-1; {
		if all[i].Pinned {
			i++
			continue
		}
		all = slices.Delete(all, i, i+1) // the earliest first
	}
	kept := make([]keptGroup, len(all))
	for i, k := range all {
		kept[i] = keptGroup{Link: k.Group.Link(), Group: k.Group.Bytes(), Pinned: k.Pinned}
		if !k.Output.Transaction.IsZero() {
			kept[i].Output = &k.Output
		}
	}
	return writeFile(n.groupsPath(network), "the known groups", kept)
}
