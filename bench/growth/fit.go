package growth

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Fit is a straight line through measured points: cost = A + B x, by least squares.
type Fit struct {
	A, B float64
	// Residual is the greatest distance of a point from the line, as a share of the point.
	Residual float64
}

// FitLine fits y to x; both have as many elements, two at least.
func FitLine(x, y []float64) Fit {
	n := float64(len(x))
	var sx, sy, sxx, sxy float64
	for i := range x {
		sx, sy, sxx, sxy = sx+x[i], sy+y[i], sxx+x[i]*x[i], sxy+x[i]*y[i]
	}
	var f Fit
	f.B = (n*sxy - sx*sy) / (n*sxx - sx*sx)
	f.A = (sy - f.B*sx) / n
	for i := range x {
		if y[i] != 0 {
			f.Residual = max(f.Residual, math.Abs(f.At(x[i])-y[i])/math.Abs(y[i]))
		}
	}
	return f
}

// At is the line at x.
func (f Fit) At(x float64) float64 { return f.A + f.B*x }

// noise is how much one measurement differs from the next of the same thing, as a share.
const noise = 0.1

// CheckLog reports where costs at ascending sizes grow faster than the logarithm of the size: where a step costs more
// than twice as much for each tenfold as the step before it, with noise of the larger cost on top.
func CheckLog(sizes, costs []float64) error {
	for i := 2; i < len(sizes); i++ {
		slope := func(i int) float64 {
			return (costs[i] - costs[i-1]) / (math.Log10(sizes[i]) - math.Log10(sizes[i-1]))
		}
		tenfolds := math.Log10(sizes[i]) - math.Log10(sizes[i-1])
		if most := 2*max(0, slope(i-1))*tenfolds + noise*costs[i]; costs[i]-costs[i-1] > most {
			return fmt.Errorf("growth: from %.0f to %.0f the cost rises by %.2f; faster than log is above %.2f", sizes[i-1], sizes[i], costs[i]-costs[i-1], most)
		}
	}
	return nil
}

// percentiles are the 50th and the 99th, in milliseconds; zeros of nothing.
func percentiles(times []time.Duration) (p50, p99 float64) {
	if len(times) == 0 {
		return 0, 0
	}
	sorted := slices.Sorted(slices.Values(times))
	at := func(p int) float64 {
		return float64(sorted[max((len(sorted)*p+99)/100, 1)-1].Microseconds()) / 1000
	}
	return at(50), at(99)
}
