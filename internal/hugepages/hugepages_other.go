//go:build !linux

package hugepages

import "time"

// Fault is for Linux alone.
func Fault() (time.Duration, error) { return 0, ErrNone }

// Reserve is for Linux alone.
func Reserve(int) (reserved int, err error) { return 0, ErrNone }
