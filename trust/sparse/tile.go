package sparse

import "slices"

// A large matrix is held once more in tiles, for multiplying: chunks of rows by blocks of columns, small
// enough that what a tile reads of the one vector and writes of the other stays in cache together
// (cache blocking; Im, Yelick, Vuduc, "Sparsity: optimization framework for sparse matrix kernels", 2004).
// Rows that are as good as random otherwise fetch every entry of the vector from afar. Tiles of a chunk
// are taken by ascending column, entries of a tile by row and then column, so that every row is summed in
// the order of its columns, as Row.Dot does.

const (
	tileRows    = 1 << 12
	tileColumns = 1 << 16
)

// entry of a tile: its place within the tile, and its weight.
type entry struct{ row, column, weight uint16 }

// tiling holds the tiles, chunk by chunk, in the order of their columns.
type tiling struct {
	start   []uint32 // tile k holds entries start[k] to start[k+1]
	entries []entry
}

// across is the number of tiles of one chunk.
func (m *Matrix) across() int { return (m.cols + tileColumns - 1) / tileColumns }

// tiled cuts a matrix into tiles; nil where the vector stays in cache without.
func (m *Matrix) tiled() *tiling {
	if m.cols <= tileColumns {
		return nil
	}
	across := m.across()
	start := make([]uint32, across*((m.rows+tileRows-1)/tileRows)+1)
	count := start[1:]
	for i := range m.rows {
		for _, c := range m.index[m.start[i]:m.start[i+1]] {
			count[i/tileRows*across+int(c/tileColumns)]++
		}
	}
	for k := range count {
		start[k+1] += start[k]
	}
	out := &tiling{start: start, entries: make([]entry, len(m.index))}
	at := slices.Clone(start)
	for i := range m.rows {
		for k := m.start[i]; k < m.start[i+1]; k++ {
			c := m.index[k]
			next := &at[i/tileRows*across+int(c/tileColumns)]
			out.entries[*next] = entry{uint16(i % tileRows), uint16(c % tileColumns), m.weight[k]}
			*next++
		}
	}
	return out
}

// mulChunk sets dst, the rows of a chunk, to their products with x.
func (t *tiling) mulChunk(dst, x []float64, chunk, across int) {
	clear(dst)
	tiles := t.start[chunk*across : (chunk+1)*across+1]
	for k := range across {
		from := x[k*tileColumns : min((k+1)*tileColumns, len(x))]
		addTile(dst, from, t.entries[tiles[k]:tiles[k+1]])
	}
}

// addTile adds the products of a tile. Whole tiles go without a check of bounds, which is a fifth of the
// time.
func addTile(dst, x []float64, entries []entry) {
	if len(dst) < tileRows || len(x) < tileColumns {
		for _, e := range entries {
			dst[e.row] += float64(float64(e.weight) * x[e.column])
		}
		return
	}
	to, from := (*[tileRows]float64)(dst), (*[tileColumns]float64)(x)
	for _, e := range entries {
		to[e.row%tileRows] += float64(float64(e.weight) * from[e.column])
	}
}
