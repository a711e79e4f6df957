package wallet

import (
	"encoding/hex"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Pending is a transaction of a wallet that is under way. Its exact bytes are kept before they are
// submitted, so that the same transaction, and no other, is submitted again after a crash or a lost
// connection; and its coins are not chosen for another one meanwhile.
type Pending struct {
	Network domain.Hash
	ID      domain.Hash
	Raw     []byte
	Spends  []utxo.Outpoint
	// UntilMS is when its validity window closes, Unix milliseconds: unless notaries have begun to vote
	// for it by then, they never will. That they have not is nothing that one of them can show.
	UntilMS uint64
}

// pendingFile is the form on disk.
type pendingFile struct {
	Network string `json:"network_id"`
	ID      string `json:"transaction_id"`
	Raw     string `json:"transaction"`
	UntilMS uint64 `json:"until_ms"`
}

func (s *Store) pendingPath(name string) string {
	return filepath.Join(s.dir, "pending", name+suffix)
}

// Pending are the transactions of a wallet that are under way, oldest first. Hold Lock to change them.
func (s *Store) Pending(name string) ([]Pending, error) {
	path := s.pendingPath(name)
	var list []pendingFile
	if err := readFile(path, "the transactions under way", &list); err != nil {
		return nil, err
	}
	out := make([]Pending, len(list))
	for i, f := range list {
		var err error
		if out[i], err = f.pending(); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
		}
	}
	return out, nil
}

func (f *pendingFile) pending() (Pending, error) {
	network, err := domain.ParseHash(f.Network)
	if err != nil {
		return Pending{}, err
	}
	id, err := domain.ParseHash(f.ID)
	if err != nil {
		return Pending{}, err
	}
	raw, err := hex.DecodeString(f.Raw)
	if err != nil {
		return Pending{}, err
	}
	tx, err := utxo.Decode(raw, utxo.Rules{Network: network})
	if err != nil {
		return Pending{}, err
	}
	if tx.ID != id {
		return Pending{}, fmt.Errorf("transaction %s is kept as %s", tx.ID, id)
	}
	return Pending{Network: network, ID: id, Raw: raw, Spends: tx.Spends(), UntilMS: f.UntilMS}, nil
}

// AddPending keeps one more.
func (s *Store) AddPending(name string, p Pending) error {
	list, err := s.Pending(name)
	if err != nil {
		return err
	}
	return s.savePending(name, append(list, p))
}

// RemovePending forgets one; one that is not there is no error.
func (s *Store) RemovePending(name string, id domain.Hash) error {
	return s.removePending(name, func(p *Pending) bool { return p.ID == id })
}

// SettlePending forgets those of a network that spend one of these outpoints, which a final transaction has spent: it
// is one of them itself, or none of them will ever be final.
func (s *Store) SettlePending(name string, network domain.Hash, spent []utxo.Outpoint) error {
	return s.removePending(name, func(p *Pending) bool {
		return p.Network == network && slices.ContainsFunc(p.Spends, func(o utxo.Outpoint) bool { return slices.Contains(spent, o) })
	})
}

func (s *Store) removePending(name string, over func(*Pending) bool) error {
	list, err := s.Pending(name)
	if err != nil {
		return err
	}
	kept := list[:0]
	for i := range list {
		if !over(&list[i]) {
			kept = append(kept, list[i])
		}
	}
	return s.savePending(name, kept)
}

func (s *Store) savePending(name string, list []Pending) error {
	if !validName(name) {
		return fmt.Errorf("%w: %q", ErrName, name)
	}
	files := make([]pendingFile, len(list))
	for i, p := range list {
		files[i] = pendingFile{Network: p.Network.String(), ID: p.ID.String(), Raw: hex.EncodeToString(p.Raw), UntilMS: p.UntilMS}
	}
	return writeFile(s.pendingPath(name), "the transactions under way", files)
}
