package store

import "sync"

// interned are the 32-byte values that have a number, in the order of their numbers. It only grows,
// with the node keys and links of the network.
type interned struct {
	mu      sync.RWMutex
	values  [][32]byte
	numbers map[[32]byte]uint32
}

func (i *interned) number(v [32]byte) (uint32, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	n, ok := i.numbers[v]
	return n, ok
}

// value implements the reading half of interner.
func (i *interned) value(n uint32) ([32]byte, bool) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if uint64(n) >= uint64(len(i.values)) {
		return [32]byte{}, false
	}
	return i.values[n], true
}

func (i *interned) add(values ...[32]byte) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.numbers == nil {
		i.numbers = map[[32]byte]uint32{}
	}
	for _, v := range values {
		i.numbers[v] = uint32(len(i.values))
		i.values = append(i.values, v)
	}
}

func (i *interned) len() uint32 {
	i.mu.RLock()
	defer i.mu.RUnlock()
	return uint32(len(i.values))
}

// fresh gives out numbers within a batch; they count once the batch is certain to be written.
type fresh struct {
	base   *interned
	values [][32]byte
}

func (f *fresh) number(v [32]byte) uint32 {
	if n, ok := f.base.number(v); ok {
		return n
	}
	for i := range f.values {
		if f.values[i] == v {
			return f.base.len() + uint32(i)
		}
	}
	f.values = append(f.values, v)
	return f.base.len() + uint32(len(f.values)) - 1
}

// settle writes the new numbers into the batch and makes them known. Readers know them before they
// can see a record that uses them.
func (f *fresh) settle(w *writes) {
	first := f.base.len()
	for i, v := range f.values {
		w.key = appendNumberKey(w.key[:0], ClassIntern, first+uint32(i))
		w.value = appendBytes(w.value[:0], v[:])
		w.set(w.key, w.value)
	}
	f.base.add(f.values...)
}
