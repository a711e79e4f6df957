// Package hugepages has the heap of a process lie in pages of two megabytes. Where a hypervisor keeps its own copies of the guest's page
// tables, a small page that is touched for the first time costs ten times what it costs elsewhere (docs/scale.md).
//
// The runtime asks for no large pages by itself, and a process cannot name what the runtime will map later. So the heap is made to grow
// once, in pieces, what it grew by is advised, and it is given back: what is allocated from then on lies there (madvise(2), MADV_HUGEPAGE).
package hugepages

import (
	"errors"
	"time"
)

// ErrNone says that there are none here: another system than Linux, one that is set to give none, or one that promises no more memory than
// it has.
var ErrNone = errors.New("no large pages here")

// Dear is what a fault of a small page takes from which on small pages are dear: 1.4 us where the processor walks the page tables of a
// guest, 15 where its hypervisor keeps copies of them.
const Dear = 5 * time.Microsecond

// WhereDear is Reserve where small pages are dear. It says what a fault takes, and how much is reserved.
func WhereDear(size int) (fault time.Duration, reserved int, err error) {
	if fault, err = Fault(); err != nil || fault < Dear {
		return fault, 0, err
	}
	reserved, err = Reserve(size)
	return fault, reserved, err
}
