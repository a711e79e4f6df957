package sparse

import (
	"errors"
	"math"
	"runtime"
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

// However many goroutines take part, every bit is the same, and every row is done once.
func TestSweepOnAnyCores(t *testing.T) {
	const n = 60_000
	start, index, weight := make([]uint32, n+1), []uint32{}, []uint16{}
	for i := range n {
		for k := range 4 {
			index, weight = append(index, uint32((i*7+k*9973)%n/4*4+k)), append(weight, uint16(i%1000+1))
		}
		line := index[len(index)-4:]
		for a := range line { // ascending
			for b := a; b > 0 && line[b] < line[b-1]; b-- {
				line[b], line[b-1] = line[b-1], line[b]
			}
		}
		start[i+1] = uint32(len(index))
	}
	m, err := New(n, n, start, index, weight)
	if err != nil {
		t.Fatal(err)
	}
	if m.Chunks() < 4 {
		t.Fatalf("%d chunks", m.Chunks())
	}
	x := make([]float64, n)
	for i := range x {
		x[i] = math.Sin(float64(i))
	}
	var first []float64
	for _, cores := range []int{1, 2, 5} {
		old := runtime.GOMAXPROCS(cores)
		y := make([]float64, n)
		m.MulVecTo(y, x)
		runtime.GOMAXPROCS(old)
		if first == nil {
			first = y
		}
		for i := range y {
			if math.Float64bits(y[i]) != math.Float64bits(first[i]) || y[i] != m.Row(i).Dot(x) {
				t.Fatalf("row %d on %d cores: %v and %v", i, cores, y[i], first[i])
			}
		}
	}
	in := make([]bool, n)
	in[5] = true
	y := make([]float64, n)
	m.MulRows(y, x, in, 0, n)
	for i := range y {
		if (y[i] != 0) != (i == 5 && first[5] != 0) {
			t.Fatalf("row %d: %v", i, y[i])
		}
	}
}

func BenchmarkMulVec(b *testing.B) {
	const n = 100_000
	start, index, weight := make([]uint32, n+1), []uint32{}, []uint16{}
	for i := range n {
		for k := range uint32(10) {
			index, weight = append(index, k*(n/10)+uint32(i*7919)%(n/10)), append(weight, 500)
		}
		start[i+1] = uint32(len(index))
	}
	m, err := New(n, n, start, index, weight)
	if err != nil {
		b.Fatal(err)
	}
	x, y := make([]float64, n), make([]float64, n)
	b.SetBytes(int64(len(index)) * 14)
	for b.Loop() {
		m.MulVecTo(y, x)
	}
}
