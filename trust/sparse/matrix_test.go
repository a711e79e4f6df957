package sparse

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

// drawMatrix draws a matrix and the same one in gonum's dense form.
func drawMatrix(t *rapid.T) (*Matrix, *mat.Dense) {
	rows, cols := rapid.IntRange(1, 12).Draw(t, "rows"), rapid.IntRange(1, 12).Draw(t, "cols")
	dense := mat.NewDense(rows, cols, nil)
	start, index, weight := []uint32{0}, []uint32{}, []uint16{}
	for i := range rows {
		for j := range cols {
			if rapid.IntRange(0, 3).Draw(t, "there") == 0 {
				w := rapid.Uint16().Draw(t, "weight")
				dense.Set(i, j, float64(w))
				index, weight = append(index, uint32(j)), append(weight, w)
			}
		}
		start = append(start, uint32(len(index)))
	}
	m, err := New(rows, cols, start, index, weight)
	if err != nil {
		t.Fatal(err)
	}
	return m, dense
}

func TestAgainstDense(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, dense := drawMatrix(t)
		rows, cols := dense.Dims()
		if rapid.Bool().Draw(t, "patch") {
			i := rapid.IntRange(0, rows-1).Draw(t, "row")
			r := Row{}
			for j := range cols {
				w := rapid.Uint16().Draw(t, "new")
				dense.Set(i, j, float64(w))
				r.Index, r.Weight = append(r.Index, uint32(j)), append(r.Weight, w)
			}
			before := m.At(i, 0)
			patched, err := m.Patch(map[int]Row{i: r})
			if err != nil || m.At(i, 0) != before || patched.Patched() != 1 {
				t.Fatal("the patch changed the base", err)
			}
			m = patched
		}
		if !mat.Equal(m, dense) || !mat.Equal(m.T(), dense.T()) {
			t.Fatal("entries differ")
		}
		x := mat.NewVecDense(cols, nil)
		for j := range cols {
			x.SetVec(j, rapid.Float64Range(-1, 1).Draw(t, "x"))
		}
		var want mat.VecDense
		want.MulVec(dense, x)
		if !mat.EqualApprox(m.MulVec(x), &want, 1e-9) {
			t.Fatalf("product %v, want %v", m.MulVec(x), want)
		}
	})
}

func TestShapes(t *testing.T) {
	for name, f := range map[string]func() (*Matrix, error){
		"starts":       func() (*Matrix, error) { return New(2, 2, []uint32{0, 1}, []uint32{0}, []uint16{1}) },
		"weights":      func() (*Matrix, error) { return New(1, 2, []uint32{0, 1}, []uint32{0}, nil) },
		"falling":      func() (*Matrix, error) { return New(2, 2, []uint32{0, 2, 1}, []uint32{0}, []uint16{1}) },
		"out of range": func() (*Matrix, error) { return New(1, 2, []uint32{0, 1}, []uint32{2}, []uint16{1}) },
		"twice":        func() (*Matrix, error) { return New(1, 2, []uint32{0, 2}, []uint32{1, 1}, []uint16{1, 1}) },
		"patch": func() (*Matrix, error) {
			m, err := New(1, 2, []uint32{0, 0}, nil, nil)
			if err != nil {
				return nil, nil
			}
			return m.Patch(map[int]Row{1: {}})
		},
		"patched columns": func() (*Matrix, error) {
			m, err := New(1, 2, []uint32{0, 0}, nil, nil)
			if err != nil {
				return nil, nil
			}
			return m.Patch(map[int]Row{0: {Index: []uint32{5}, Weight: []uint16{1}}})
		},
	} {
		if _, err := f(); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAccessPanicsLikeGonum(t *testing.T) {
	m, err := New(1, 1, []uint32{0, 1}, []uint32{0}, []uint16{7})
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range [][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("no panic at %v", at)
				}
			}()
			m.At(at[0], at[1])
		}()
	}
}

// scattered is a matrix whose rows lie all over the vector: peers with k entries each, and none in the
// last row.
func scattered(t testing.TB, n, k int) *Matrix {
	start, index, weight := make([]uint32, n+1), []uint32{}, []uint16{}
	seed := uint64(n)
	for i := range n {
		if i < n-1 {
			line := make([]uint32, k)
			for e := range line {
				seed = seed*6364136223846793005 + 1442695040888963407
				line[e] = uint32(seed >> 33 % uint64(n))
			}
			slices.Sort(line)
			for _, c := range slices.Compact(line) {
				index, weight = append(index, c), append(weight, uint16(1+(i+int(c))%1000))
			}
		}
		start[i+1] = uint32(len(index))
	}
	m, err := New(n, n, start, index, weight)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func waves(n int) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Sin(float64(i))
	}
	return x
}

// However many goroutines take part, and in tiles or not, every bit is the same as one row's product by
// itself, and every row is done once.
func TestSweepOnAnyCores(t *testing.T) {
	for _, n := range []int{60_000, tileColumns, tileColumns + 1, 2*tileColumns + 3*tileRows + 5} {
		m := scattered(t, n, 4)
		if m.Chunks() < 4 || (m.tiles != nil) != (n > tileColumns) {
			t.Fatalf("%d peers: %d chunks, tiles %v", n, m.Chunks(), m.tiles != nil)
		}
		x := waves(n)
		for _, cores := range []int{1, 2, 5} {
			old := runtime.GOMAXPROCS(cores)
			y := slices.Repeat([]float64{math.NaN()}, n) // whatever was there goes
			m.MulVecTo(y, x)
			runtime.GOMAXPROCS(old)
			for i := range y {
				if want := m.Row(i).Dot(x); math.Float64bits(y[i]) != math.Float64bits(want) {
					t.Fatalf("row %d of %d on %d cores: %v, want %v", i, n, cores, y[i], want)
				}
			}
		}
	}
}

// Chunks cover all rows, each once, whatever is in them.
func TestChunksCoverRows(t *testing.T) {
	for _, n := range []int{0, 1, 5, 40_000, tileColumns + 1, 3 * tileColumns} {
		m := scattered(t, max(n, 1), 3)
		times := make([]int, max(n, 1))
		last := 0
		for c := range m.Chunks() {
			lo, hi := m.chunks[c], m.chunks[c+1]
			if lo != last || hi <= lo {
				t.Fatalf("chunk %d from %d to %d after %d", c, lo, hi, last)
			}
			last = hi
		}
		m.Sweep(func(_, lo, hi int) {
			for i := lo; i < hi; i++ {
				times[i]++
			}
		})
		if last != len(times) || slices.Min(times) != 1 || slices.Max(times) != 1 {
			t.Fatalf("%d rows end at %d, done %d to %d times", len(times), last, slices.Min(times), slices.Max(times))
		}
	}
}

// A patched matrix in tiles, with some rows left out, against one row after the other.
func TestPatchedTiles(t *testing.T) {
	const n = tileColumns + 2*tileRows
	m := scattered(t, n, 3)
	rows := map[int]Row{}
	for i := 0; i < n; i += 777 {
		rows[i] = Row{Index: []uint32{uint32(i / 2), n - 1}, Weight: []uint16{7, 9}}
	}
	rows[n-1] = Row{}
	patched, err := m.Patch(rows)
	if err != nil {
		t.Fatal(err)
	}
	in := make([]bool, n)
	for i := range in {
		in[i] = i%3 != 1
	}
	x, y := waves(n), make([]float64, n)
	patched.Sweep(func(chunk, _, _ int) { patched.MulChunk(y, x, in, chunk) })
	for i := range y {
		want := 0.0
		if in[i] {
			want = patched.Row(i).Dot(x)
		}
		if math.Float64bits(y[i]) != math.Float64bits(want) {
			t.Fatalf("row %d: %v, want %v", i, y[i], want)
		}
	}
}

func BenchmarkMulVec(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			m := scattered(b, n, 10)
			x, y := waves(n), make([]float64, n)
			for b.Loop() {
				m.MulVecTo(y, x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(m.Entries()), "ns/entry")
		})
	}
}
