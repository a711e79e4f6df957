//go:build linux

package hugepages

import (
	"bufio"
	"errors"
	"fmt"
	"os"
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

// TestReserve: what is allocated after Reserve lies where large pages were asked for.
func TestReserve(t *testing.T) {
	reserved, err := Reserve(64 << 20)
	if errors.Is(err, ErrNone) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if reserved == 0 || reserved > 64<<20 {
		t.Fatalf("%d bytes are reserved", reserved)
	}
	if list := make([]byte, reservePiece); !advised(t, list) {
		t.Fatal("the heap does not lie in what was reserved")
	}
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
