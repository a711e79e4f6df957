package growth

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
)

// Results are all measurements, kept as JSON lines.
type Results struct {
	Live   []*Live  // by outputs
	Groups []*Group // by transactions an observation, then peers
}

// Load reads results; a file that is not there holds none.
func Load(path string) (*Results, error) {
	r := &Results{}
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	for line := range bytes.Lines(b) {
		var kind struct {
			Kind string `json:"kind"`
		}
		if err := json.Unmarshal(line, &kind); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		switch kind.Kind {
		case "live":
			l := &Live{}
			err = json.Unmarshal(line, l)
			r.AddLive(l)
		case "group":
			g := &Group{}
			err = json.Unmarshal(line, g)
			r.AddGroup(g)
		default:
			err = fmt.Errorf("kind %q", kind.Kind)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	return r, nil
}

// Save writes results, one a line.
func (r *Results) Save(path string) error {
	var b bytes.Buffer
	w := bufio.NewWriter(&b)
	lines := json.NewEncoder(w)
	for _, l := range r.Live {
		if err := lines.Encode(l); err != nil {
			return err
		}
	}
	for _, g := range r.Groups {
		if err := lines.Encode(g); err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}

// AddLive takes a measurement in, in place of an earlier one of the same.
func (r *Results) AddLive(l *Live) {
	r.Live = slices.DeleteFunc(r.Live, func(e *Live) bool { return e.Outputs == l.Outputs })
	r.Live = append(r.Live, l)
	slices.SortFunc(r.Live, func(a, b *Live) int { return cmp.Compare(a.Outputs, b.Outputs) })
}

// AddGroup takes a measurement in, in place of an earlier one of the same.
func (r *Results) AddGroup(g *Group) {
	order := func(a, b *Group) int {
		return cmp.Or(cmp.Compare(a.PerFlush, b.PerFlush), cmp.Compare(a.Peers, b.Peers))
	}
	r.Groups = slices.DeleteFunc(r.Groups, func(e *Group) bool { return order(e, g) == 0 })
	r.Groups = append(r.Groups, g)
	slices.SortFunc(r.Groups, order)
}

// Batch are the groups whose observations speak of so many transactions, by peers.
func (r *Results) Batch(perFlush int) (groups []*Group) {
	for _, g := range r.Groups {
		if g.PerFlush == perFlush {
			groups = append(groups, g)
		}
	}
	return groups
}
