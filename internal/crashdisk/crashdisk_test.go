package crashdisk

import (
	"errors"
	"io"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// write makes a file of two synced bytes and one that is not, and syncs the directory, unless the power is off.
func write(d *Disk) error {
	f, err := d.Create("x", vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer f.Close()
	dir, err := d.OpenDir("")
	if err != nil {
		return err
	}
	defer dir.Close()
	for _, step := range []func() error{
		dir.Sync,
		func() error { _, err := f.Write([]byte("ab")); return err },
		f.Sync,
		func() error { _, err := f.Write([]byte("c")); return err },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func read(t *testing.T, d *Disk) (string, bool) {
	t.Helper()
	f, err := d.Open("x")
	if err != nil {
		return "", false
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return string(b), true
}

// What was synced before the cut is there, nothing that came after it is, and whoever writes then waits.
func TestCut(t *testing.T) {
	for n := range 6 {
		for seed := range uint64(20) {
			d := New(seed)
			d.CutAfter(n)
			done := make(chan error)
			go func() { done <- write(d) }()
			if n == 5 { // never reached
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				continue
			}
			<-d.Off()
			select {
			case err := <-done:
				t.Fatalf("a write without power returned: %v", err)
			default:
			}
			if _, err := d.GetDiskUsage(""); !errors.Is(err, ErrPower) {
				t.Fatalf("usage without power: %v", err)
			}
			d.Release()
			if err := <-done; err != nil {
				t.Fatalf("it ended with %v", err)
			}
			got, there := read(t, d.Back())
			switch {
			case n >= 2 && !there, n == 0 && there:
				t.Errorf("cut before change %d: there is a file: %v", n, there)
			case n == 4 && got != "ab":
				t.Errorf("cut after the sync: %q", got)
			case n < 3 && got != "":
				t.Errorf("cut before the first write: %q", got)
			}
		}
	}
}

// A disk that lies loses what it said was synced.
func TestLie(t *testing.T) {
	lost := 0
	for seed := range uint64(20) {
		d := New(seed)
		d.Lie()
		d.CutAfter(5)
		if err := write(d); err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- d.Remove("x") }()
		<-d.Off()
		d.Release()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if got, _ := read(t, d.Back()); len(got) < 2 {
			lost++
		}
	}
	if lost == 0 {
		t.Error("nothing was lost")
	}
}
