package sim

import "container/heap"

// Times and durations of the simulation are microseconds.
const (
	ms     = 1000
	second = 1000 * ms
)

// clock is the heap of events that drives a run.
type clock struct {
	now    uint64
	seq    uint64
	events events
}

type event struct {
	at, seq uint64
	do      func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	last := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return last
}

// after runs do in a while.
func (c *clock) after(wait uint64, do func()) {
	c.seq++
	heap.Push(&c.events, event{c.now + wait, c.seq, do})
}

// step runs the next event, unless it lies after the limit or there is none.
func (c *clock) step(limit uint64) bool {
	if len(c.events) == 0 || c.events[0].at > limit {
		return false
	}
	e := heap.Pop(&c.events).(event)
	c.now = e.at
	e.do()
	return true
}
