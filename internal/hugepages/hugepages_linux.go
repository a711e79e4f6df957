package hugepages

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Rounds of touching so many pages: what disturbs one does not disturb all.
const (
	faultRounds = 4
	faultPages  = 512
)

// Fault is how long it takes to touch a small page that this process had before and has given back, the least of several rounds. What the
// host has yet to lend is not in it.
func Fault() (time.Duration, error) {
	size := unix.Getpagesize()
	mem, err := unix.Mmap(-1, 0, faultPages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return 0, fmt.Errorf("hugepages: map: %w", err)
	}
	defer func() { _ = unix.Munmap(mem) }()
	if err := unix.Madvise(mem, unix.MADV_NOHUGEPAGE); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNone, err)
	}
	least := time.Duration(1<<63 - 1)
	for range faultRounds {
		start := time.Now()
		for at := 0; at < len(mem); at += size {
			mem[at] = 1
		}
		least = min(least, time.Since(start))
		if err := unix.Madvise(mem, unix.MADV_DONTNEED); err != nil {
			return 0, fmt.Errorf("hugepages: give back: %w", err)
		}
	}
	return least / faultPages, nil
}

// Reserve is made of pieces: what the heap grows by is clean, and a list is cleared that lies in part where something lay before. Small pages
// would be touched for that, so of a piece alone and never of all. Who starts waits for reserveMost at the most.
const (
	reservePiece = 4 << 20
	reserveMost  = 200 * time.Millisecond
)

// Reserve has the next so many bytes of the heap lie in large pages, or as many as it can in a moment, and says how many. None of it is in use before something is
// allocated there. It takes a collection, so it is for the start of a program.
func Reserve(size int) (reserved int, err error) {
	if err := given(); err != nil {
		return 0, err
	}
	start := time.Now()
	var heap [][]byte
	for len(heap) < size/reservePiece && time.Since(start) < reserveMost {
		piece := make([]byte, reservePiece)
		if err := unix.Madvise(piece, unix.MADV_HUGEPAGE); err != nil {
			return 0, fmt.Errorf("%w: %w", ErrNone, err)
		}
		heap = append(heap, piece)
	}
	runtime.KeepAlive(heap)
	clear(heap)
	runtime.GC()
	return len(heap) * reservePiece, nil
}

// given reports whether the system gives large pages to who asks, and memory that is not in use yet.
func given() error {
	const pages, promises = "/sys/kernel/mm/transparent_hugepage/enabled", "/proc/sys/vm/overcommit_memory"
	if set, err := os.ReadFile(pages); err != nil || bytes.Contains(set, []byte("[never]")) {
		return fmt.Errorf("%w: see %s", ErrNone, pages)
	}
	if set, err := os.ReadFile(promises); err != nil || bytes.HasPrefix(set, []byte("2")) {
		return fmt.Errorf("%w: see %s", ErrNone, promises)
	}
	for _, bound := range []int{unix.RLIMIT_AS, unix.RLIMIT_DATA} {
		var limit unix.Rlimit
		if err := unix.Getrlimit(bound, &limit); err != nil || limit.Cur != unix.RLIM_INFINITY {
			return fmt.Errorf("%w: the process's memory is bounded (ulimit -v, -d)", ErrNone)
		}
	}
	return nil
}
