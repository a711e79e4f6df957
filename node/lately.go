package node

import (
	"encoding/binary"
	"hash/maphash"
	"sync/atomic"

	"github.com/notarynet/notaryd/proto/domain"
)

// The size of lately: 2 MB.
const (
	latelyLines = 1 << 15
	latelyWays  = 7 // of a line, which with the number of the next is as much as a processor fetches at once
)

// lately is what became final here lately, as 8 bytes of a hash under a key of this process, so that nobody can make an
// id that is taken for one of these. It answers in one look at memory what would take one into the store: that it holds a
// transaction is as good as certain, that it does not says nothing. The newest tens of thousands are in it, and no more
// than latelyLines * latelyWays in all. One may add while any number look.
type lately struct {
	seed  maphash.Seed
	lines [latelyLines]latelyLine
}

type latelyLine struct {
	marks [latelyWays]atomic.Uint64
	next  uint64 // the way that is filled next: the oldest
}

func newLately() *lately { return &lately{seed: maphash.MakeSeed()} }

// add takes a transaction in that is final on disk.
func (l *lately) add(id domain.Hash) {
	line, mark := l.find(id)
	line.marks[line.next].Store(mark)
	line.next = (line.next + 1) % latelyWays
}

// holds reports whether a transaction is known to be final.
func (l *lately) holds(id domain.Hash) bool {
	line, mark := l.find(id)
	for way := range line.marks {
		if line.marks[way].Load() == mark {
			return true
		}
	}
	return false
}

// find is where a transaction is held, if it is, and as what: never as 0, which is no transaction.
func (l *lately) find(id domain.Hash) (line *latelyLine, mark uint64) {
	return &l.lines[int(binary.LittleEndian.Uint16(id[:]))%latelyLines], max(maphash.Bytes(l.seed, id[:]), 1)
}
