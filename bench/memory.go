package bench

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// touchedBytes is how much memory is touched before each load: about what four nodes take within half a minute.
const touchedBytes = 4 << 30

// touchMemory uses memory and gives it back, and returns what each page took, in microseconds. A virtual machine may be lent its memory by
// its host when it is first used, at ten times what a page takes that it has: a fifth of the processor time of the nodes' first half minute, which has
// nothing to do with them. Much above 2 us says that the host lends it.
func touchMemory(bytes int) (us float64, err error) {
	block, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return 0, fmt.Errorf("bench: %d bytes of memory: %w", bytes, err)
	}
	page := os.Getpagesize()
	start := time.Now()
	for at := 0; at < len(block); at += page {
		block[at] = 1
	}
	took := time.Since(start)
	if err := syscall.Munmap(block); err != nil {
		return 0, fmt.Errorf("bench: giving memory back: %w", err)
	}
	return float64(took.Nanoseconds()) / 1000 / float64(bytes/page), nil
}
