package node

import (
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
)

// TestLately: what was added last is held, what was not added is not, and whoever makes ids that share a line pushes out
// no more than that line.
func TestLately(t *testing.T) {
	l := newLately()
	id := func(n int) domain.Hash { return domain.Sum(domain.TagTx, []byte{byte(n), byte(n >> 8), byte(n >> 16)}) }
	const many = 20 * latelyLines
	for n := range many {
		if l.holds(id(n)) {
			t.Fatalf("holds %d, which was not added", n)
		}
		l.add(id(n))
		if !l.holds(id(n)) {
			t.Fatalf("does not hold %d, added last", n)
		}
	}
	held := 0
	for n := many - 2*latelyLines; n < many; n++ {
		if l.holds(id(n)) {
			held++
		}
	}
	if held < 2*latelyLines*99/100 {
		t.Errorf("holds %d of the last %d", held, 2*latelyLines)
	}
	before := held
	for n := range 1000 {
		ground := id(many + n)
		ground[0], ground[1] = 7, 7
		l.add(ground)
	}
	held = 0
	for n := many - 2*latelyLines; n < many; n++ {
		if l.holds(id(n)) {
			held++
		}
	}
	if held < before-latelyWays {
		t.Errorf("ids that share a line push out %d others", before-held)
	}
}

func BenchmarkLately(b *testing.B) {
	l := newLately()
	var id domain.Hash
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		id[0], id[1], id[9] = byte(i), byte(i>>8), byte(i>>16)
		if !l.holds(id) {
			l.add(id)
		}
	}
}
