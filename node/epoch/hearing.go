package epoch

import (
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/trust"
)

// Names in labels cost nothing, and metadata little more than some work, while whoever judges a link goes through all labels that
// count once for every member. So weight makes room for labels. A voice, a member or a seed, is heard out, and shares out the room
// that its weight makes among those whom it labels positively, they share theirs out, and so on. What is heard of anybody depends on
// the labels that lead to him alone: labels more by others never make it less.

const (
	// weightPerLabel is the weight that makes room for one label: 2,000,000 for all members and seeds together.
	weightPerLabel = 1000
	// shareOuts is how often room is handed on. One voice's is used so many times, and once by whoever it is handed to at first.
	shareOuts = 7
	// raterRoom is the room that whoever is no voice needs besides that of its labels: a rater costs more than a label. It bounds raters
	// by 8 * 2,000,000 / 8 and the voices, which a trust.Graph has room for.
	raterRoom = 8
)

// hearing is whose labels count, and which of them. Peers are numbered by ascending id: those in the cut and the voices.
type hearing struct {
	ids    []domain.Hash
	number map[domain.Hash]uint32
	says   []*group.Peer // nil for voices that no link has read any metadata of
	voice  []bool        // heard out, whatever their room
	mute   []bool        // convicted
	room   []int         // in labels
	heirs  [][]uint32    // whom a peer hands room on to, once it had enough for that
}

// hear listens to a cut for some members and the seeds.
func (s *State) hear(cut map[domain.Hash]*group.Peer, members []trust.Share) *hearing {
	h := &hearing{ids: make([]domain.Hash, 0, len(cut)+len(members)+len(s.seeds))}
	for id := range cut {
		h.ids = append(h.ids, id)
	}
	voices := slices.Concat(members, s.seeds)
	for _, v := range voices {
		h.ids = append(h.ids, v.Peer)
	}
	slices.SortFunc(h.ids, domain.Hash.Compare)
	h.ids = slices.Compact(h.ids)
	n := len(h.ids)
	h.number, h.says, h.voice, h.mute = make(map[domain.Hash]uint32, n), make([]*group.Peer, n), make([]bool, n), make([]bool, n)
	for i, id := range h.ids {
		h.number[id], h.says[i], h.mute[i] = uint32(i), cut[id], s.convicted[id]
	}
	h.heirs = make([][]uint32, n)
	weights := make([]group.Weight, n)
	for _, v := range voices {
		i := h.number[v.Peer]
		h.voice[i] = true
		weights[i] += v.Weight
	}
	h.shareOut(weights)
	return h
}

// shareOut finds the room of everybody. All in whole numbers: what is left of a division is lost.
func (h *hearing) shareOut(weights []group.Weight) {
	has, gets := make([]int, len(h.ids)), make([]int, len(h.ids))
	for i, w := range weights {
		if !h.mute[i] {
			has[i] = int(w / weightPerLabel)
		}
	}
	h.room = slices.Clone(has)
	for range shareOuts {
		clear(gets)
		for i, room := range has {
			if room > 0 {
				h.handOn(i, room, gets)
			}
		}
		for i, room := range gets {
			h.room[i] += room
		}
		has, gets = gets, has
	}
}

// handOn divides room by the positive labels of a peer, those of names that nobody has read among them. It costs the room at most, and
// a look at these labels.
func (h *hearing) handOn(i, room int, gets []int) {
	if h.says[i] == nil {
		return
	}
	positive := 0
	for _, l := range h.says[i].Labels {
		if l.Score > 0 {
			positive++
		}
	}
	if positive == 0 || room < positive {
		return
	}
	if h.heirs[i] == nil {
		h.heirs[i] = make([]uint32, 0, positive)
		for _, l := range h.says[i].Labels {
			if to, known := h.number[l.Peer]; known && l.Score > 0 && !h.mute[to] {
				h.heirs[i] = append(h.heirs[i], to)
			}
		}
	}
	for _, to := range h.heirs[i] {
		gets[to] += room / positive
	}
}

// heard are the labels of a peer that there is room for: the largest scores of either sign, ties to the lower id.
func (h *hearing) heard(i int) []group.Label {
	switch {
	case h.says[i] == nil || h.mute[i]:
		return nil
	case h.voice[i]:
		return h.says[i].Labels
	}
	return largest(h.says[i].Labels, h.room[i]-raterRoom)
}

// largest are at most so many labels, in the order in which they come.
func largest(labels []group.Label, most int) []group.Label {
	if most >= len(labels) {
		return labels
	}
	if most <= 0 {
		return nil
	}
	var sizes [group.MaxScore + 1]int
	for _, l := range labels {
		sizes[size(l)]++
	}
	least, left := group.MaxScore, most // left is how many of the least size there is room for
	for ; sizes[least] < left; least-- {
		left -= sizes[least]
	}
	out := make([]group.Label, 0, most)
	for _, l := range labels {
		switch s := size(l); {
		case s > least:
			out = append(out, l)
		case s == least && left > 0:
			out = append(out, l)
			left--
		}
	}
	return out
}

func size(l group.Label) int { return int(max(l.Score, -l.Score)) }

// graph is that of the labels that are heard, of the voices and whom these labels name.
func (h *hearing) graph() (*trust.Graph, error) {
	in := slices.Clone(h.voice)
	ends, ratee, score := make([]int, len(h.ids)), []uint32(nil), []int16(nil)
	for i := range h.ids {
		for _, l := range h.heard(i) {
			if to, known := h.number[l.Peer]; known {
				in[i], in[to] = true, true
				ratee, score = append(ratee, to), append(score, int16(l.Score))
			}
		}
		ends[i] = len(ratee)
	}
	place := make([]uint32, len(h.ids)) // of those who are in
	ids, start := make([]domain.Hash, 0, len(h.ids)), []uint32{0}
	for i, id := range h.ids {
		if in[i] {
			place[i] = uint32(len(ids))
			ids, start = append(ids, id), append(start, uint32(ends[i]))
		}
	}
	for k, to := range ratee {
		ratee[k] = place[to]
	}
	return trust.FromRows(slices.Clip(ids), start, ratee, score)
}
