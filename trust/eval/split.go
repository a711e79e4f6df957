package eval

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
)

// Split is ratings to learn from and ratings to predict.
type Split struct {
	Known, Hidden []Rating
}

// ByTime hides the last tenth.
func ByTime(d *Data) Split {
	k := len(d.Ratings) - len(d.Ratings)/10
	return Split{Known: d.Ratings[:k], Hidden: d.Ratings[k:]}
}

// AtRandom hides a tenth, drawn with a seed: the same ratings on every machine.
func AtRandom(d *Data, seed uint64) Split {
	order := make([]int, len(d.Ratings))
	for i := range order {
		order[i] = i
	}
	draw := generator(seed)
	for i := len(order) - 1; i > 0; i-- {
		j := int(draw.next() % uint64(i+1))
		order[i], order[j] = order[j], order[i]
	}
	hidden := slices.Clone(order[:len(order)/10])
	known := slices.Clone(order[len(order)/10:])
	slices.Sort(hidden)
	slices.Sort(known) // ratings stay in the order of time
	pick := func(at []int) []Rating {
		out := make([]Rating, len(at))
		for i, k := range at {
			out[i] = d.Ratings[k]
		}
		return out
	}
	return Split{Known: pick(known), Hidden: pick(hidden)}
}

// generator is SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA
// 2014).
type generator uint64

func (g *generator) next() uint64 {
	*g += 0x9e3779b97f4a7c15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// sample keeps the hidden ratings of at most most raters, drawn by a hash of the rater: large files
// need not be evaluated whole.
func (s Split) sample(most int) Split {
	raters := make([]domain.Hash, 0, len(s.Hidden))
	for _, r := range s.Hidden {
		raters = append(raters, r.Rater)
	}
	slices.SortFunc(raters, domain.Hash.Compare)
	raters = slices.Compact(raters)
	if len(raters) <= most {
		return s
	}
	last := raters[most-1] // ids are hashes: the first few are as good as drawn
	return Split{Known: s.Known, Hidden: slices.DeleteFunc(slices.Clone(s.Hidden), func(r Rating) bool { return r.Rater.Compare(last) > 0 })}
}

// founders are the first raters in time: what a network's genesis would have as seeds.
func (s Split) founders(most int) []domain.Hash {
	var out []domain.Hash
	for _, r := range s.Known {
		if len(out) == most {
			break
		}
		if !slices.Contains(out, r.Rater) {
			out = append(out, r.Rater)
		}
	}
	return out
}

// byRater groups hidden ratings, raters in the order of their ids.
func (s Split) byRater() [][]Rating {
	sorted := slices.Clone(s.Hidden)
	slices.SortStableFunc(sorted, func(a, b Rating) int { return a.Rater.Compare(b.Rater) })
	return slices.Collect(chunkBy(sorted))
}

func chunkBy(sorted []Rating) func(yield func([]Rating) bool) {
	return func(yield func([]Rating) bool) {
		for from := 0; from < len(sorted); {
			to := from + 1
			for to < len(sorted) && sorted[to].Rater == sorted[from].Rater {
				to++
			}
			if !yield(sorted[from:to]) {
				return
			}
			from = to
		}
	}
}

// AUC is the area under the ROC curve: the chance that a positive pair is predicted higher than a
// negative one, ties counting half (the Mann-Whitney statistic; Fawcett, "An introduction to ROC
// analysis", 2006). 0.5 where either is empty.
func AUC(predicted []float64, positive []bool) float64 {
	order := make([]int, len(predicted))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(predicted[a], predicted[b]) })
	var ranks, pos float64
	for from := 0; from < len(order); {
		to := from
		for to < len(order) && predicted[order[to]] == predicted[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			if positive[i] {
				ranks += float64(from+to+1) / 2
				pos++
			}
		}
		from = to
	}
	neg := float64(len(order)) - pos
	if pos == 0 || neg == 0 {
		return 0.5
	}
	return (ranks - pos*(pos+1)/2) / (pos * neg)
}
