package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/trust"
)

func TestLoad(t *testing.T) {
	head := "rater,ratee,score,time\n"
	rest := "a,b,10,1\nb,c,-5,2\nc,a,1,3\na,c,2,9\nb,a,3,5\nc,b,4,6\nd,a,1,7\nd,b,1,8\na,d,0,9\nb,d,1,10\nc,d,1,11\nd,d,9,12\na,c,-10,13\n"
	d, err := Load(strings.NewReader(head + rest))
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Ratings) != 10 || d.Peers != 4 || d.Negative != 2 {
		t.Errorf("%d ratings, %d peers, %d negative", len(d.Ratings), d.Peers, d.Negative)
	}
	last := d.Ratings[len(d.Ratings)-1]
	if last.Score != -1000 || last.Time != 13 || d.Ratings[0].Score != 1000 || d.Ratings[1].Score != -500 {
		t.Errorf("scores %d, %d, last %v", d.Ratings[0].Score, d.Ratings[1].Score, last)
	}
	plain := "# from to sign\n" + strings.ReplaceAll(strings.ReplaceAll(rest, ",", "\t"), "\n", "\n")
	if e, err := Load(strings.NewReader(plain)); err != nil || len(e.Ratings) != 10 {
		t.Error(e, err)
	}
	for name, text := range map[string]string{
		"few": "a,b,1,1\n", "short": rest + "a,b\n", "score": rest + "a,b,x,1\n", "time": rest + "a,b,1,x\n", "nan": rest + "a,b,NaN,1\n",
	} {
		if _, err := Load(strings.NewReader(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("a,b,1,1\nb,a,-1,2\n")
	f.Add("# x\n1 2 -1\n2\t1\t1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d, err := Load(strings.NewReader(text))
		if err != nil {
			return
		}
		if _, err := trust.NewGraph(Labels(d.Ratings), nil); err != nil {
			t.Fatalf("loaded what makes no graph: %v", err)
		}
	})
}

func TestAUCAgainstPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(t, "n")
		var label []float64
		var positive []bool
		for range n {
			label = append(label, float64(rapid.IntRange(-3, 3).Draw(t, "label")))
			positive = append(positive, rapid.Bool().Draw(t, "positive"))
		}
		var won, pairs float64
		for i := range n {
			for j := range n {
				if positive[i] && !positive[j] {
					pairs++
					switch {
					case label[i] > label[j]:
						won++
					case label[i] == label[j]:
						won += 0.5
					}
				}
			}
		}
		want := 0.5
		if pairs > 0 {
			want = won / pairs
		}
		if got := AUC(label, positive); math.Abs(got-want) > 1e-12 {
			t.Fatalf("%v, want %v", got, want)
		}
	})
}

// village is two camps that praise their own and curse the other, with some noise, over time.
func village() *Data {
	draw := generator(7)
	var text strings.Builder
	seen := map[[2]uint64]bool{}
	for at := range 3000 {
		a, b := draw.next()%80, draw.next()%80
		if a == b || seen[[2]uint64{a, b}] {
			continue
		}
		seen[[2]uint64{a, b}] = true
		score := 1 + int(draw.next()%9)
		if b%4 == 3 != (draw.next()%12 == 0) {
			score = -score // every fourth is a crook
		}
		text.WriteString(strings.Join([]string{num(int(a)), num(int(b)), num(score), num(at)}, ",") + "\n")
	}
	d, err := Load(strings.NewReader(text.String()))
	if err != nil {
		panic(err)
	}
	return d
}

func num(i int) string { b, _ := json.Marshal(i); return string(b) }

func TestSplits(t *testing.T) {
	d := village()
	late := ByTime(d)
	if len(late.Hidden) != len(d.Ratings)/10 || late.Known[len(late.Known)-1].Time > late.Hidden[0].Time {
		t.Error("the hidden tenth is not the last")
	}
	a, b, c := AtRandom(d, 1), AtRandom(d, 1), AtRandom(d, 2)
	if !slices.Equal(a.Hidden, b.Hidden) || slices.Equal(a.Hidden, c.Hidden) || len(a.Known)+len(a.Hidden) != len(d.Ratings) {
		t.Error("hold-outs are not drawn by their seed")
	}
	for _, h := range a.Hidden {
		if slices.Contains(a.Known, h) {
			t.Fatal("hidden and known")
		}
	}
	few := a.sample(5)
	if got := len(few.byRater()); got != 5 {
		t.Errorf("%d raters in a sample of 5", got)
	}
	if f := a.founders(3); len(f) != 3 || f[0] != a.Known[0].Rater {
		t.Error("founders are not the first")
	}
}

// On crooks known to all every method that reads signs does well, and none does worse than a coin.
func TestMethods(t *testing.T) {
	split := AtRandom(village(), 3)
	for _, m := range Methods() {
		r, err := Evaluate(m, split, 5)
		if err != nil {
			t.Fatal(err)
		}
		floor := 0.8
		if m.Name == "eigentrust" || m.Name == "pagerank" {
			floor = 0.5
		}
		if r.AUC < floor || r.Coverage < 0.9 || r.Pairs != len(split.Hidden) || r.All < floor {
			t.Errorf("%s: %+v", m.Name, r)
		}
	}
}

func TestRun(t *testing.T) {
	var file strings.Builder
	for i, r := range village().Ratings {
		file.WriteString(r.Rater.String() + " " + r.Ratee.String() + " " + num(int(r.Score)) + " " + num(i) + "\n")
	}
	o := Options{Random: 1, Raters: 20, Founders: 3}
	var table, lines bytes.Buffer
	steps := 0
	o.Progress = func(string) { steps++ }
	if err := Run(&table, strings.NewReader(file.String()), o); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(table.String(), "\n"); got != 2*len(Methods())+5 || steps != 2*len(Methods()) {
		t.Errorf("%d lines, %d steps:\n%s", got, steps, table.String())
	}
	o.JSON = true
	if err := Run(&lines, strings.NewReader(file.String()), o); err != nil {
		t.Fatal(err)
	}
	count := 0
	for dec := json.NewDecoder(&lines); dec.More(); count++ {
		var r Result
		if err := dec.Decode(&r); err != nil || r.Pairs == 0 {
			t.Fatal(r, err)
		}
	}
	if count != 2*len(Methods()) {
		t.Errorf("%d lines", count)
	}
}
