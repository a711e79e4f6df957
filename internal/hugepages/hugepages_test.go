//go:build linux

package hugepages

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func TestFault(t *testing.T) {
	took, err := Fault()
	if err != nil && !errors.Is(err, ErrNone) {
		t.Fatal(err)
	}
	if err == nil && (took < 20*time.Nanosecond || took > time.Millisecond) {
		t.Fatalf("a page in %v", took)
	}
	t.Log(took, err)
}

// TestReserve: what is allocated after Reserve lies where large pages were asked for, but for what fits in between: a list may begin in memory that
// was used before.
func TestReserve(t *testing.T) {
	const lists = 8
	reserved, err := Reserve(64 << 20)
	for range 5 { // a busy machine takes all the time for less
		if err == nil && reserved < 2*lists*reservePiece {
			reserved, err = Reserve(64 << 20)
		}
	}
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if reserved == 0 || reserved > 64<<20 {
		t.Fatalf("%d bytes are reserved", reserved)
	}
	var kept [][]byte
	within := 0
	for range lists {
		list := make([]byte, reservePiece)
		kept = append(kept, list)
		if advised(t, list[len(list)/2:]) {
			within++
		}
	}
	if within < lists/2 {
		t.Fatalf("%d of %d lists lie in what was reserved, %d bytes", within, lists, reserved)
	}
	runtime.KeepAlive(kept)
}

// advised reports whether a list lies in a mapping with the flag of MADV_HUGEPAGE, by proc(5).
func advised(t *testing.T, list []byte) bool {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer file.Close()
	at, within := uintptr(unsafe.Pointer(&list[0])), false
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var from, to uintptr
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x ", &from, &to); err == nil {
			within = from <= at && at < to
		}
		if flags, ok := strings.CutPrefix(lines.Text(), "VmFlags:"); ok && within {
			return strings.Contains(flags+" ", " hg ")
		}
	}
	t.Fatal("the list lies in no mapping")
	return false
}

// TestReserveWithinBounds: a process whose memory is bounded reserves nothing, since what is not there ends it.
func TestReserveWithinBounds(t *testing.T) {
	for _, bound := range []int{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		var before unix.Rlimit
		if err := unix.Getrlimit(bound, &before); err != nil {
			t.Fatal(err)
		}
		if err := unix.Setrlimit(bound, &unix.Rlimit{Cur: 1 << 45, Max: before.Max}); err != nil {
			t.Fatal(err)
		}
		reserved, err := Reserve(64 << 20)
		if e := unix.Setrlimit(bound, &before); e != nil {
			t.Fatal(e)
		}
		if reserved != 0 || !errors.Is(err, ErrNone) {
			t.Errorf("%d bytes are reserved: %v", reserved, err)
		}
	}
}
