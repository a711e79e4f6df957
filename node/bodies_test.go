package node

import (
	"fmt"
	"testing"
)

// TestBodiesAreBounded: bodies are kept as copies, within so many bytes; the oldest give way.
func TestBodiesAreBounded(t *testing.T) {
	b, body := newBodies(), make([]byte, 256<<10)
	const many = 2 * bodiesBytes / (256 << 10)
	for i := range many {
		b.keep(named(fmt.Sprint(i)), body)
		if i%3 == 0 {
			b.drop(named(fmt.Sprint(i)))
		}
	}
	all := 0
	for _, kept := range b.of {
		all += len(kept)
	}
	if all != b.bytes || all > bodiesBytes || all < bodiesBytes-2*len(body) || len(b.order) > 3*len(b.of)/2+1 {
		t.Errorf("%d bytes of %d are kept, %d in order", all, b.bytes, len(b.order))
	}
	if b.of[named(fmt.Sprint(many-1))] == nil || b.of[named("1")] != nil {
		t.Error("not the newest are kept")
	}
	if body[0] = 1; b.of[named(fmt.Sprint(many-1))][0] != 0 {
		t.Error("it is no copy")
	}
}
