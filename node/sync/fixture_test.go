package sync

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"sort"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
)

// memory is a Set of ascending ids. With a table it scans only the ends of bounds; reads counts what is
// asked of it.
type memory struct {
	ids   []domain.Hash
	table *Table
	reads int
}

func newMemory(ids []domain.Hash, table bool) *memory {
	m := &memory{ids: slices.Clone(ids)}
	slices.SortFunc(m.ids, domain.Hash.Compare)
	m.ids = slices.Compact(m.ids)
	if table {
		m.table = NewTable()
		for _, id := range m.ids {
			m.table.Add(id)
		}
	}
	return m
}

func (m *memory) within(b Bounds) []domain.Hash {
	from := sort.Search(len(m.ids), func(i int) bool { return m.ids[i].Compare(b.From) >= 0 })
	to := len(m.ids)
	if !b.To.IsZero() {
		to = sort.Search(len(m.ids), func(i int) bool { return m.ids[i].Compare(b.To) >= 0 })
	}
	return m.ids[from:max(from, to)]
}

func (m *memory) Fingerprint(b Bounds) (f Fingerprint, err error) {
	m.reads++
	rest := []Bounds{b}
	if m.table != nil {
		f, rest = m.table.Inner(b)
	}
	for _, r := range rest {
		for _, id := range m.within(r) {
			f.Add(id)
		}
	}
	return f, nil
}

func (m *memory) IDs(b Bounds, limit int) ([]domain.Hash, error) {
	m.reads++
	ids := m.within(b)
	return slices.Clone(ids[:min(len(ids), limit)]), nil
}

// minus are the ids of m that other has not.
func (m *memory) minus(other *memory) []domain.Hash {
	var out []domain.Hash
	for _, id := range m.ids {
		if _, in := slices.BinarySearchFunc(other.ids, id, domain.Hash.Compare); !in {
			out = append(out, id)
		}
	}
	return out
}

// hashed is the id number n of a kind: like those of transactions, anywhere.
func hashed(kind, n uint64) domain.Hash {
	return sha256.Sum256(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, kind), n))
}

// drawIDs draws ids, none of which can be expressed by others: most are anywhere, some have a prefix in
// common, long as nobody can grind it, and some are at the ends of the space.
func drawIDs(t *rapid.T, most int, label string) []domain.Hash {
	kind := rapid.Uint64().Draw(t, label+" kind")
	ids := make([]domain.Hash, 0, most)
	for n := range rapid.IntRange(0, most).Draw(t, label) {
		ids = append(ids, hashed(kind, uint64(n)))
	}
	prefix := rapid.SampledFrom([]string{"", "\x7f\xff\xff", "twelve bytes"}).Draw(t, label+" prefix")
	for n := range rapid.IntRange(0, 100).Draw(t, label+" ground") {
		id := hashed(kind+1, uint64(n))
		copy(id[:], prefix)
		ids = append(ids, id)
	}
	for _, end := range []domain.Hash{{}, uint256{}.minus(uint256{1}).hash()} {
		if rapid.Bool().Draw(t, label+" end") {
			ids = append(ids, end)
		}
	}
	return ids
}

// reconcile runs a session against an honest peer until it ends.
func reconcile(asker, peer Set, limits Limits) (missing []domain.Hash, s *Session, err error) {
	s = NewSession(asker, limits)
	for {
		asked, err := s.Next()
		if err != nil || len(asked) == 0 {
			return missing, s, err
		}
		reply, err := Answer(peer, asked, limits)
		if err != nil {
			return missing, s, err
		}
		more, err := s.Take(reply)
		if err != nil {
			return missing, s, err
		}
		missing = append(missing, more...)
	}
}
