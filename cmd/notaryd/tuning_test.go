package main

import (
	"errors"
	"math"
	"testing"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// TestLeastMemory: a container's limit counts where it is below what the machine has, and what nobody can tell does not.
func TestLeastMemory(t *testing.T) {
	machine, container, all := memlimit.Limit(64<<30), memlimit.Limit(1<<30), memlimit.Limit(math.MaxUint64)
	none := func() (uint64, error) { return 0, memlimit.ErrNoLimit }
	broken := func() (uint64, error) { return 5, errors.New("unreadable") }
	for name, c := range map[string]struct {
		limits []memlimit.Provider
		want   int64
	}{
		"in a container": {[]memlimit.Provider{machine, container}, 1 << 30},
		"beyond it":      {[]memlimit.Provider{container, machine}, 1 << 30},
		"without limit":  {[]memlimit.Provider{machine, none}, 64 << 30},
		"unlimited":      {[]memlimit.Provider{machine, all}, 64 << 30},
		"unreadable":     {[]memlimit.Provider{broken, container}, 1 << 30},
		"unknown":        {[]memlimit.Provider{none, broken}, 0},
	} {
		if got := least(c.limits...); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	if machineMemory() <= 0 {
		t.Error("this machine has no memory")
	}
}
