package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The ballast is as large as it is to be whenever there is room for it, also where a crash came while it was made; and
// goes when a full disk is opened.
func TestBallast(t *testing.T) {
	disk := &fullDisk{FS: vfs.NewMem()}
	disk.free.Store(1 << 40)
	o := testOptions(disk)
	o.ReserveBytes = 32 << 20
	size := func() int64 {
		t.Helper()
		s := mustOpen(t, o)
		defer mustClose(t, s)
		info, err := disk.Stat(s.ballastPath())
		if err != nil {
			return 0
		}
		return info.Size()
	}
	if got := size(); got != 8<<20 {
		t.Errorf("a new store has a ballast of %d", got)
	}
	if err := writeBallast(disk, (&Store{dir: "node/store", options: o}).ballastPath(), 1<<20); err != nil {
		t.Fatal(err)
	}
	if got := size(); got != 8<<20 {
		t.Errorf("after a crash while it was made it has %d", got)
	}
	disk.free.Store(0)
	if got := size(); got != 0 {
		t.Errorf("on a full disk it has %d", got)
	}
	disk.free.Store(1 << 40)
	if got := size(); got != 8<<20 {
		t.Errorf("with room again it has %d", got)
	}
}
