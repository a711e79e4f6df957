package eval

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/trust"
)

// Rating is one line of a signed trust network.
type Rating struct {
	Rater, Ratee domain.Hash
	// Score is scaled so that the largest in the file is trust.MaxScore. Never 0.
	Score int32
	// Time orders ratings; seconds where the file says so, else the number of the line.
	Time float64
}

// Data is a signed trust network.
type Data struct {
	// Ratings are by time, one for each pair of peers: the last one counts.
	Ratings []Rating
	// Peers is the number of different peers, Negative that of negative ratings.
	Peers, Negative int
}

// ErrFormat says that a line is not rater, ratee, score and, if any line has it, time.
var ErrFormat = errors.New("eval: not a signed trust network")

type line struct {
	rater, ratee string
	score, time  float64
}

// Load reads a signed trust network: a line each of rater, ratee, score and optionally time, separated
// by commas, semicolons, tabs or spaces; a header and lines that start with # or % are skipped, ratings of oneself
// and scores of 0 are dropped.
func Load(r io.Reader) (*Data, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), 1<<20)
	var lines []line
	largest := 0.0
	for n := 1; in.Scan(); n++ {
		text := strings.TrimSpace(in.Text())
		if text == "" || text[0] == '#' || text[0] == '%' {
			continue
		}
		l, err := parse(text, n)
		if err != nil {
			if len(lines) == 0 && n == 1 {
				continue // a header
			}
			return nil, err
		}
		if l.score != 0 && l.rater != l.ratee {
			lines = append(lines, l)
			largest = max(largest, math.Abs(l.score))
		}
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	if len(lines) < 10 {
		return nil, fmt.Errorf("%w: %d ratings", ErrFormat, len(lines))
	}
	return fromLines(lines, largest), nil
}

func parse(text string, n int) (line, error) {
	f := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ';' || r == '\t' || r == ' ' })
	if len(f) < 3 {
		return line{}, fmt.Errorf("%w: line %d has %d fields", ErrFormat, n, len(f))
	}
	l := line{rater: f[0], ratee: f[1], time: float64(n)}
	var err error
	if l.score, err = strconv.ParseFloat(f[2], 64); err != nil || math.IsNaN(l.score) || math.IsInf(l.score, 0) {
		return line{}, fmt.Errorf("%w: line %d: score %q", ErrFormat, n, f[2])
	}
	if len(f) > 3 {
		if l.time, err = strconv.ParseFloat(f[3], 64); err != nil || math.IsNaN(l.time) {
			return line{}, fmt.Errorf("%w: line %d: time %q", ErrFormat, n, f[3])
		}
	}
	return l, nil
}

func fromLines(lines []line, largest float64) *Data {
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Compare(a.time, b.time) })
	ids := make(map[string]domain.Hash)
	id := func(name string) domain.Hash {
		h, ok := ids[name]
		if !ok {
			h = domain.Sum("notary/eval/v1", []byte(name))
			ids[name] = h
		}
		return h
	}
	d := &Data{}
	type pair struct{ rater, ratee domain.Hash }
	last := make(map[pair]int)
	for _, l := range lines {
		score := int32(math.Round(l.score / largest * trust.MaxScore))
		if score == 0 {
			score = int32(math.Copysign(1, l.score))
		}
		r := Rating{Rater: id(l.rater), Ratee: id(l.ratee), Score: score, Time: l.time}
		k := pair{r.Rater, r.Ratee}
		if at, ok := last[k]; ok {
			d.Ratings[at].Score = 0 // overtaken
		}
		last[k] = len(d.Ratings)
		d.Ratings = append(d.Ratings, r)
	}
	d.Ratings = slices.DeleteFunc(d.Ratings, func(r Rating) bool { return r.Score == 0 })
	for _, r := range d.Ratings {
		if r.Score < 0 {
			d.Negative++
		}
	}
	d.Peers = len(ids)
	return d
}

// Labels are ratings as trust takes them.
func Labels(ratings []Rating) []trust.Label {
	out := make([]trust.Label, len(ratings))
	for i, r := range ratings {
		out[i] = trust.Label{Rater: r.Rater, Ratee: r.Ratee, Score: r.Score}
	}
	return out
}
