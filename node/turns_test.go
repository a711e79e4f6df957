package node

import (
	"slices"
	"testing"
)

// Each key is served in its turn, and in each queue the oldest comes first.
func TestTurns(t *testing.T) {
	var q turns[string, int]
	if v, ok := q.take(); ok {
		t.Fatalf("an empty queue gives %d", v)
	}
	for i := range 5 {
		q.put("crowd", i)
	}
	q.put("one", 10)
	var got []int
	for range 3 {
		v, _ := q.take()
		got = append(got, v)
	}
	q.put("late", 20)
	q.put("one", 11)
	for v, ok := q.take(); ok; v, ok = q.take() {
		got = append(got, v)
	}
	if want := []int{0, 10, 1, 2, 20, 11, 3, 4}; !slices.Equal(got, want) {
		t.Errorf("taken in the order %v, want %v", got, want)
	}
	if len(q.queues) != 0 || len(q.order) != 0 {
		t.Errorf("left behind: %v, %v", q.queues, q.order)
	}
}
