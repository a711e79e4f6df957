// Package sparse holds the one matrix that trust needs at scale: non-negative integers, mostly absent,
// in compressed rows (CSR; Saad, "Iterative Methods for Sparse Linear Systems", 2nd ed., section 3.4),
// six bytes an entry, and as much again in tiles where it is large. It conforms to gonum's mat.Matrix, multiplies vectors itself, and may do so on
// several goroutines: every row's sum is computed by one of them in the order of its columns, and
// whatever is summed over rows is summed per chunk of rows first. So no result depends on how many
// there were.
package sparse

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"gonum.org/v1/gonum/mat"
)

// ErrShape says that slices do not make a matrix: lengths that differ, columns out of range or out of
// order, starts that fall.
var ErrShape = errors.New("sparse: no matrix of that shape")

// Matrix is an immutable sparse matrix of weights 0 to 65,535. It satisfies mat.Matrix.
type Matrix struct {
	rows, cols int
	start      []uint32 // row i holds entries start[i] to start[i+1]
	index      []uint32 // columns, strictly ascending within a row
	weight     []uint16
	chunks     []int   // boundaries of chunks of rows, first 0, last rows
	tiles      *tiling // the same entries, where a matrix is large

	// Rows replaced by Patch, over those of the base, and their numbers, ascending.
	patched map[int]Row
	order   []int
}

var _ mat.Matrix = (*Matrix)(nil)

// Row is one row of a matrix: columns, strictly ascending, and their weights.
type Row struct {
	Index  []uint32
	Weight []uint16
}

// New makes a matrix of the given slices, which it keeps: row i is index[start[i]:start[i+1]] with the
// weights beside. It returns ErrShape where they do not fit.
func New(rows, cols int, start, index []uint32, weight []uint16) (*Matrix, error) {
	if rows < 0 || cols < 0 || len(start) != rows+1 || start[0] != 0 || int(start[rows]) != len(index) || len(index) != len(weight) {
		return nil, fmt.Errorf("%w: %d rows, %d starts, %d columns, %d weights", ErrShape, rows, len(start), len(index), len(weight))
	}
	m := &Matrix{rows: rows, cols: cols, start: start, index: index, weight: weight}
	for i := range rows {
		if start[i] > start[i+1] || int(start[i+1]) > len(index) {
			return nil, fmt.Errorf("%w: row %d from %d to %d of %d", ErrShape, i, start[i], start[i+1], len(index))
		}
		if err := checkRow(index[start[i]:start[i+1]], cols); err != nil {
			return nil, fmt.Errorf("%w in row %d", err, i)
		}
	}
	m.tiles = m.tiled()
	m.chunks = m.cut()
	return m, nil
}

func checkRow(index []uint32, cols int) error {
	last := -1
	for _, c := range index {
		if int(c) <= last || int(c) >= cols {
			return fmt.Errorf("%w: column %d after %d of %d", ErrShape, c, last, cols)
		}
		last = int(c)
	}
	return nil
}

// Patch returns a matrix with some rows replaced; all others are shared with m, so it costs as much as
// what it replaces.
func (m *Matrix) Patch(rows map[int]Row) (*Matrix, error) {
	out := *m
	out.patched = make(map[int]Row, len(m.patched)+len(rows))
	maps.Copy(out.patched, m.patched)
	for i, r := range rows {
		if i < 0 || i >= m.rows || len(r.Index) != len(r.Weight) {
			return nil, fmt.Errorf("%w: patch of row %d", ErrShape, i)
		}
		if err := checkRow(r.Index, m.cols); err != nil {
			return nil, fmt.Errorf("%w in row %d", err, i)
		}
		out.patched[i] = r
	}
	out.order = slices.Sorted(maps.Keys(out.patched))
	return &out, nil
}

// Patched is how many rows lie over the base.
func (m *Matrix) Patched() int { return len(m.patched) }

// Dims implements mat.Matrix.
func (m *Matrix) Dims() (rows, cols int) { return m.rows, m.cols }

// Entries is the number of stored entries of the base, without patches.
func (m *Matrix) Entries() int { return len(m.index) }

// Row is row i. Not to be changed.
func (m *Matrix) Row(i int) Row {
	if m.patched != nil {
		if r, ok := m.patched[i]; ok {
			return r
		}
	}
	return Row{Index: m.index[m.start[i]:m.start[i+1]], Weight: m.weight[m.start[i]:m.start[i+1]]}
}

// At implements mat.Matrix, in time logarithmic in the entries of the row. It panics where gonum's own
// types do.
func (m *Matrix) At(i, j int) float64 {
	if uint(i) >= uint(m.rows) {
		panic(mat.ErrRowAccess)
	}
	if uint(j) >= uint(m.cols) {
		panic(mat.ErrColAccess)
	}
	r := m.Row(i)
	if k, ok := slices.BinarySearch(r.Index, uint32(j)); ok {
		return float64(r.Weight[k])
	}
	return 0
}

// T implements mat.Matrix.
func (m *Matrix) T() mat.Matrix { return mat.Transpose{Matrix: m} }

// Dot is the product of row i with x. It is never fused (a*b+c in one rounding), so that every
// architecture gets the same bits.
func (r Row) Dot(x []float64) float64 {
	var sum float64
	weight := r.Weight[:len(r.Index)]
	for k, c := range r.Index {
		sum += float64(float64(weight[k]) * x[c])
	}
	return sum
}

// MulChunk sets dst[i] to row i times x for the rows i of a chunk that in marks, and to 0 for the others;
// a nil in marks all. It is the inner loop of everything, so it does the base by itself and then puts
// right the few rows that are patched.
func (m *Matrix) MulChunk(dst, x []float64, in []bool, chunk int) {
	lo, hi := m.chunks[chunk], m.chunks[chunk+1]
	if m.tiles != nil {
		m.tiles.mulChunk(dst[lo:hi], x[:m.cols], chunk, m.across())
	} else {
		m.mulRows(dst[lo:hi], x, lo)
	}
	at, _ := slices.BinarySearch(m.order, lo)
	for _, i := range m.order[at:] {
		if i >= hi {
			break
		}
		dst[i] = m.patched[i].Dot(x)
	}
	if in == nil {
		return
	}
	for i := lo; i < hi; i++ {
		if !in[i] {
			dst[i] = 0
		}
	}
}

// mulRows sets dst to the products of the rows from lo on.
func (m *Matrix) mulRows(dst, x []float64, lo int) {
	start := m.start[lo : lo+len(dst)+1]
	for i := range dst {
		index, weight := m.index[start[i]:start[i+1]], m.weight[start[i]:start[i+1]]
		weight = weight[:len(index)]
		var sum float64
		for k, c := range index {
			sum += float64(float64(weight[k]) * x[c])
		}
		dst[i] = sum
	}
}

// MulVecTo sets dst to m*x, on as many goroutines as Sweep takes.
func (m *Matrix) MulVecTo(dst, x []float64) {
	if len(dst) != m.rows || len(x) != m.cols {
		panic(mat.ErrShape)
	}
	m.Sweep(func(chunk, _, _ int) { m.MulChunk(dst, x, nil, chunk) })
}

// MulVec is m*x as a gonum vector. (VecDense.MulVec asks a foreign type for every element, which is
// quadratic in its size; this is not.)
func (m *Matrix) MulVec(x mat.Vector) *mat.VecDense {
	in := make([]float64, x.Len())
	for i := range in {
		in[i] = x.AtVec(i)
	}
	out := mat.NewVecDense(m.rows, nil)
	m.MulVecTo(out.RawVector().Data, in)
	return out
}
