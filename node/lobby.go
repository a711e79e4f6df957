package node

import (
	"cmp"
	"slices"
)

// lobby is where clients wait for a place: in turns, one of each origin after the other (fair queueing, Nagle 1987), so
// that whoever sends one transaction waits for one of everybody else, not for all that a flood has sent. It is not for
// concurrent use; admission owns it.
type lobby struct {
	lines  map[string]*line
	order  []*line // those with somebody in them, whose turn is next first
	n      int     // waiting, in all lines
	places int64   // that they want
}

// line is those of one origin, who came first first.
type line struct {
	who    []*guest
	places int64 // that they want
}

// length is how many stand in a line.
func (l *line) length() int64 { return int64(len(l.who)) }

// width is how many places they want.
func (l *line) width() int64 { return l.places }

// guest waits for a place.
type guest struct {
	origin Origin
	places int64
	line   *line         // nil once it waits no more
	told   chan struct{} // closed then, unless it has gone by itself
	placed bool          // it has its place
}

func newLobby() *lobby { return &lobby{lines: make(map[string]*line)} }

// join adds a guest to the line of an origin.
func (b *lobby) join(o Origin, places int64) *guest {
	l := b.lines[o.key()]
	if l == nil {
		l = new(line)
		b.lines[o.key()] = l
		b.order = append(b.order, l)
	}
	w := &guest{origin: o, places: places, line: l, told: make(chan struct{})}
	l.who = append(l.who, w)
	l.places += places
	b.n++
	b.places += places
	return w
}

// first is who is next; nil where nobody waits.
func (b *lobby) first() *guest {
	if len(b.order) == 0 {
		return nil
	}
	return b.order[0].who[0]
}

// turn takes out who is next, and has its line wait for all others. Somebody must wait.
func (b *lobby) turn() {
	l := b.order[0]
	b.order = append(slices.Delete(b.order, 0, 1), l)
	b.drop(l.who[0])
}

// last is the newest of the line that has the most of something: who gives way when too many wait, or want too many places
// (Suter et al. 1998). Somebody must wait.
func (b *lobby) last(of func(*line) int64) *guest {
	l := slices.MaxFunc(b.order, func(x, y *line) int { return cmp.Compare(of(x), of(y)) })
	return l.who[len(l.who)-1]
}

// drop takes out a guest, wherever it stands.
func (b *lobby) drop(w *guest) {
	l := w.line
	if l == nil {
		return
	}
	w.line = nil
	b.n--
	b.places -= w.places
	l.places -= w.places
	i := len(l.who) - 1 // who gives way is the newest, and turn finds the first at once
	if l.who[i] != w {
		i = slices.Index(l.who, w)
	}
	l.who = slices.Delete(l.who, i, i+1)
	if len(l.who) == 0 {
		delete(b.lines, w.origin.key())
		i := slices.Index(b.order, l)
		b.order = slices.Delete(b.order, i, i+1)
	}
}
