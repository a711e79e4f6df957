package bench

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

// TestBesideRatio: what the nodes of the other program took is held against what as many of the others did.
func TestBesideRatio(t *testing.T) {
	for name, c := range map[string]struct {
		each []time.Duration
		want float64
	}{
		"four":       {[]time.Duration{4, 1, 2, 2}, 0.5},
		"eight":      {[]time.Duration{1, 2, 2, 1, 1, 3, 3, 1}, 2.5},
		"not halves": {[]time.Duration{1, 2, 2}, 0},
		"no load":    {make([]time.Duration, 4), 0},
		"no nodes":   {nil, 0},
	} {
		if got := besideRatio(c.each); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	each := Usage{Each: []time.Duration{5, 7}}.minus(Usage{Each: []time.Duration{1, 2}}).Each
	if len(each) != 2 || each[0] != 4 || each[1] != 5 {
		t.Errorf("between two readings: %v", each)
	}
	f := figure(&Network{}, 0, 0, &Outcome{Elapsed: time.Second}, Usage{Each: []time.Duration{4, 1, 2, 2}}, Ceilings{})
	if f.Beside != 0 {
		t.Errorf("a network of one program: %v", f.Beside)
	}
	f.Beside = 0.5
	var told strings.Builder
	f.Write(&told, nil)
	if !strings.Contains(told.String(), "beside took 0.500 of") {
		t.Error(told.String())
	}
}

// TestBesideWantsFours: what cannot be halved evenly is refused before anything is started.
func TestBesideWantsFours(t *testing.T) {
	for _, nodes := range []int{1, 2, 10} {
		err := Run(context.Background(), Plan{Notaryd: os.Args[0] + " that is not there", Beside: "other", Nodes: nodes}, nil)
		if err == nil || !strings.Contains(err.Error(), "multiple of four") {
			t.Errorf("%d nodes: %v", nodes, err)
		}
	}
}
