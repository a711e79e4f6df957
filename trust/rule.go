package trust

import (
	"math"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Rule says how a View scores peers. All rules rank alike, and under all of them a label never counts
// for a peer of a lower rank than its rater's, and a peer whose score is not positive says nothing
// (docs/adr/0006).
type Rule struct {
	// Decay is the factor per rank after the first, above 0 and at most 1.
	Decay float64
	// ByRater weighs a rater's label by the rater's score. Without it every rater counts the same and
	// its score multiplies its label, as in plain DATT.
	ByRater bool
	// Roots is how many square roots are drawn from the size of a label: 0 takes it as it is, 2 its
	// fourth root, so that a label of 1000 says more than one of 100, but not ten times as much. Scales
	// differ from rater to rater; the sign does not.
	Roots int
	// Negative is how many positive labels one negative label outweighs, at least 1. Negative labels are
	// rare and seldom given lightly.
	Negative float64
	// Equal is the weight of a second opinion: labels by raters of the same rank, themselves scored by
	// lower ranks alone, relative to labels from the rank below. 0 to 1; 0 leaves them out. It moves
	// scores, but never turns their sign, and does not touch rank 1: what a peer says itself needs no second
	// opinion.
	Equal float64
	// Prior is the weight of the viewer's own mean label in an expectation (View.Expect). It never
	// touches a score.
	Prior float64
}

var (
	// Plain is DATT to the letter: decay^(k-1) times the mean, over raters of rank k-1, of the rater's
	// score times its label.
	Plain = Rule{Decay: 0.5, Negative: 1}
	// RaterWeighted is DATT with the mean weighted by the rater's score.
	RaterWeighted = Rule{Decay: 0.5, ByRater: true, Negative: 1}
	// Corroborated is RaterWeighted with compressed labels, heavier negatives and a second opinion by
	// peers of equal rank: the default. How it was chosen, and against what: docs/adr/0006.
	Corroborated = Rule{Decay: 0.5, ByRater: true, Roots: 2, Negative: 3, Equal: 0.25, Prior: 1}
)

// Validate states the bounds of a rule.
func (r Rule) Validate() error {
	bad := func(field, want string, got any) error {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, "%v, want %s", got, want)
	}
	switch {
	case !(r.Decay > 0 && r.Decay <= 1):
		return bad("decay", "above 0 and at most 1", r.Decay)
	case r.Roots < 0 || r.Roots > 4:
		return bad("roots", "0 to 4", r.Roots)
	case !(r.Negative >= 1 && r.Negative <= 16):
		return bad("negative", "1 to 16", r.Negative)
	case !(r.Equal >= 0 && r.Equal <= 1):
		return bad("equal", "0 to 1", r.Equal)
	case !(r.Prior >= 0 && r.Prior <= 100):
		return bad("prior", "0 to 100", r.Prior)
	case r.Equal > 0 && !r.ByRater:
		return bad("equal", "0 where raters are not weighed", r.Equal)
	}
	return nil
}

// value is what a label of some size says, -1 to 1. Square roots are exact to the last bit on every
// architecture; powers are not.
func (r Rule) value(score int16) float64 {
	v := math.Abs(float64(score)) / MaxScore
	for range r.Roots {
		v = math.Sqrt(v)
	}
	return math.Copysign(v, float64(score))
}

// unit is what views count in: sums of whole numbers of it are exact, so that a score does not depend on
// the order in which labels are added up, and neither does who is in and who is out.
const unit = 1 << 40

// MaxRaters bounds the peers of a graph that label others, so that the sums of a view fit 64 bits.
const MaxRaters = 1 << 21

// scale is, by score + MaxScore, the value of a label times its weight, and the weight of a label that is
// not negative and of one that is; all in units.
func (r Rule) scale() (value [2*MaxScore + 1]float64, weight [2]float64) {
	weight = [2]float64{unit, unit * r.Negative}
	for i := range value {
		value[i] = unit * r.value(int16(i-MaxScore))
		if i < MaxScore {
			value[i] *= r.Negative
		}
	}
	return value, weight
}
