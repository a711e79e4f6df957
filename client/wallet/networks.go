package wallet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// ErrUnknownNetwork says that no genesis document of a network is kept here.
var ErrUnknownNetwork = errors.New("network not known here")

const genesisSuffix = ".genesis"

// Networks are the genesis documents that the user trusts, and which network each node's address
// spoke for at the first contact. A node that later claims another network is refused.
type Networks struct{ dir string }

// Networks is the store's trust in networks.
func (s *Store) Networks() *Networks { return &Networks{dir: filepath.Join(s.dir, "networks")} }

// lockWait is how long a change waits for those of other programs, which take milliseconds.
const lockWait = 10 * time.Second

// alone makes a change of what is kept in lists while no other program does.
func (n *Networks) alone(change func() error) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	unlock, err := LockFile(ctx, filepath.Join(n.dir, ".lock"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return change()
}

// Path is where the genesis document of a network is kept.
func (n *Networks) Path(id domain.Hash) string {
	return filepath.Join(n.dir, id.String()+genesisSuffix)
}

// Get is the trusted genesis document of a network, or ErrUnknownNetwork.
func (n *Networks) Get(id domain.Hash) (*group.Genesis, error) {
	b, err := os.ReadFile(n.Path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrUnknownNetwork, id)
	}
	if err != nil {
		return nil, fmt.Errorf("read the genesis document: %w", err)
	}
	g, err := group.DecodeGenesis(b)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, n.Path(id), err)
	}
	if g.ID != id {
		return nil, fmt.Errorf("%w: %s holds network %s", ErrCorrupt, n.Path(id), g.ID)
	}
	return g, nil
}

// Add trusts a network. It reports whether the network is new here.
func (n *Networks) Add(g *group.Genesis) (bool, error) {
	_, err := n.Get(g.ID)
	if err == nil {
		return false, nil
	}
	if !errors.Is(err, ErrUnknownNetwork) {
		return false, err
	}
	return true, replace(n.Path(g.ID), g.Bytes)
}

// Remove stops trusting a network and forgets which nodes spoke for it.
func (n *Networks) Remove(id domain.Hash) error {
	err := os.Remove(n.Path(id))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %s", ErrUnknownNetwork, id)
	}
	if err != nil {
		return fmt.Errorf("forget the network: %w", err)
	}
	if err := os.Remove(n.groupsPath(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget the network's groups: %w", err)
	}
	return n.changePins(func(pins map[string]string) {
		for node, network := range pins {
			if network == id.String() {
				delete(pins, node)
			}
		}
	})
}

// List is every trusted network by id.
func (n *Networks) List() ([]*group.Genesis, error) {
	entries, err := os.ReadDir(n.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the networks: %w", err)
	}
	var all []*group.Genesis
	for _, e := range entries {
		text, isGenesis := strings.CutSuffix(e.Name(), genesisSuffix)
		id, err := domain.ParseHash(text)
		if !isGenesis || err != nil {
			continue
		}
		g, err := n.Get(id)
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group.Genesis) int { return a.ID.Compare(b.ID) })
	return all, nil
}

// Pinned is the network that the node at an address (host:port) spoke for at the first contact.
func (n *Networks) Pinned(node string) (domain.Hash, bool, error) {
	pins, err := n.pins()
	if err != nil {
		return domain.Hash{}, false, err
	}
	text, ok := pins[node]
	if !ok {
		return domain.Hash{}, false, nil
	}
	id, err := domain.ParseHash(text)
	if err != nil {
		return domain.Hash{}, false, fmt.Errorf("%w: %s: %w", ErrCorrupt, n.pinsPath(), err)
	}
	return id, true, nil
}

// Pin remembers which network a node speaks for, in place of what was remembered before.
func (n *Networks) Pin(node string, id domain.Hash) error {
	return n.changePins(func(pins map[string]string) { pins[node] = id.String() })
}

func (n *Networks) pinsPath() string { return filepath.Join(n.dir, "nodes.json") }

func (n *Networks) pins() (map[string]string, error) {
	pins := map[string]string{}
	if err := readFile(n.pinsPath(), "the known nodes", &pins); err != nil {
		return nil, err
	}
	return pins, nil
}

func (n *Networks) changePins(change func(map[string]string)) error {
	return n.alone(func() error {
		pins, err := n.pins()
		if err != nil {
			return err
		}
		change(pins)
		return writeFile(n.pinsPath(), "the known nodes", pins)
	})
}
