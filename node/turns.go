package node

// turns is a queue for each key, of which those that are not empty are taken from in turns: whoever fills its own waits
// for itself. It is not for concurrent use.
type turns[K comparable, V any] struct {
	queues map[K][]V
	order  []K // of those that are not empty, the next one first
}

// put adds to a key's queue.
func (t *turns[K, V]) put(key K, v V) {
	if t.queues == nil {
		t.queues = make(map[K][]V)
	}
	if len(t.queues[key]) == 0 {
		t.order = append(t.order, key)
	}
	t.queues[key] = append(t.queues[key], v)
}

// take takes the oldest of the queue whose turn it is; false where all are empty.
func (t *turns[K, V]) take() (v V, ok bool) {
	if len(t.order) == 0 {
		return v, false
	}
	key := t.order[0]
	t.order = t.order[1:]
	queue := t.queues[key]
	v = queue[0]
	if queue = queue[1:]; len(queue) == 0 {
		delete(t.queues, key)
		return v, true
	}
	t.queues[key] = queue
	t.order = append(t.order, key)
	return v, true
}
