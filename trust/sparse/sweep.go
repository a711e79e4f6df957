package sparse

import (
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	// chunkWork is the work of a chunk of rows, in entries plus rows: large enough that handing it out
	// costs nothing, small enough that cores finish together.
	chunkWork = 1 << 15
	// aloneWork is the work below which one goroutine does it all.
	aloneWork = 1 << 16
)

// cut is the boundaries of chunks: rows of tiles, or rows of about equal work. It depends on the matrix
// alone.
func (m *Matrix) cut() []int {
	chunks := []int{0}
	from := 0
	for i := 1; i < m.rows; i++ {
		full := int(m.start[i]-m.start[from])+i-from >= chunkWork
		if m.tiles != nil {
			full = i%tileRows == 0
		}
		if full {
			chunks = append(chunks, i)
			from = i
		}
	}
	return append(chunks, m.rows)
}

// Chunks is the number of chunks that Sweep hands out.
func (m *Matrix) Chunks() int { return len(m.chunks) - 1 }

// Sweep calls f once for every chunk of rows lo <= i < hi, from up to GOMAXPROCS goroutines, and
// returns when all are done. What f writes must belong to its rows or its chunk alone.
func (m *Matrix) Sweep(f func(chunk, lo, hi int)) {
	workers := min(runtime.GOMAXPROCS(0), m.Chunks())
	if workers == 1 || len(m.index)+m.rows < aloneWork {
		for c := range m.Chunks() {
			f(c, m.chunks[c], m.chunks[c+1])
		}
		return
	}
	var next atomic.Int64
	work := func() {
		for {
			c := int(next.Add(1)) - 1
			if c >= m.Chunks() {
				return
			}
			f(c, m.chunks[c], m.chunks[c+1])
		}
	}
	var others sync.WaitGroup
	for range workers - 1 {
		others.Go(work)
	}
	work()
	others.Wait()
}
