// Package crashdisk is a disk for tests: in memory, and its power can be cut between any two changes that
// are made to it. What was synced by then is there when the power comes back; of what was not, a random
// part is.
package crashdisk

import (
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// ErrPower is what a disk without power says of itself.
var ErrPower = errors.New("crashdisk: no power")

// Disk is a file system. It is made by New, or by Back from one whose power was cut.
type Disk struct {
	vfs.FS
	mem *vfs.MemFS
	rng *rand.Rand

	mu    sync.Mutex
	lazy  bool
	left  int  // changes until the cut; below 0 for none
	cut   bool // the power is off: calls wait
	off   chan struct{}
	let   chan struct{} // closed when calls are to wait no more
	after *vfs.MemFS    // what is there when the power comes back
}

// New makes an empty disk. The seed decides how much of what was not synced survives each cut.
func New(seed uint64) *Disk { return over(vfs.NewCrashableMem(), rand.New(rand.NewPCG(seed, 2))) }

func over(mem *vfs.MemFS, rng *rand.Rand) *Disk {
	return &Disk{FS: mem, mem: mem, rng: rng, left: -1, off: make(chan struct{}), let: make(chan struct{})}
}

// Lie makes the disk report syncs as done without doing them, from now on: the control, which must lose
// something.
func (d *Disk) Lie() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lazy = true
}

// CutAfter has the power cut before the n-th change from now on, the first being 0. Off is closed then.
func (d *Disk) CutAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.left = n
}

// Off is closed when the power is cut. From then on whoever changes something waits, until Release.
func (d *Disk) Off() <-chan struct{} { return d.off }

// Release lets those who wait since the power was cut go on, so that they can be cleared away: what they do
// from here on is done to what nobody will read. See to it first that they tell nobody of it. They do not
// fail, since pebble panics or tries for ever where files cannot be made.
func (d *Disk) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.cut {
		panic("crashdisk: the power is on")
	}
	close(d.let)
}

// Back is the disk after the power has come back.
func (d *Disk) Back() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return over(d.after, d.rng)
}

// change is called before anything is changed.
func (d *Disk) change() {
	d.mu.Lock()
	if !d.cut && d.left == 0 {
		// Often nothing survives unsynced, or all of it; else some.
		d.after = d.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: d.rng.IntN(3) * 50, RNG: d.rng})
		d.cut = true
		close(d.off)
	}
	if d.left > 0 {
		d.left--
	}
	cut := d.cut
	d.mu.Unlock()
	if cut {
		<-d.let
	}
}

// sync is change for a sync, and reports whether it is to be done.
func (d *Disk) sync() bool {
	d.change()
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.lazy
}

// GetDiskUsage implements vfs.FS: without power it is ErrPower, at once.
func (d *Disk) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cut {
		return vfs.DiskUsage{}, ErrPower
	}
	return d.FS.GetDiskUsage(path)
}

func (d *Disk) file(f vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{f, d}, nil
}

// Create implements vfs.FS.
func (d *Disk) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.change()
	return d.file(d.FS.Create(name, c))
}

// OpenReadWrite implements vfs.FS.
func (d *Disk) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	d.change()
	return d.file(d.FS.OpenReadWrite(name, c, opts...))
}

// ReuseForWrite implements vfs.FS.
func (d *Disk) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	d.change()
	return d.file(d.FS.ReuseForWrite(oldname, newname, c))
}

// OpenDir implements vfs.FS. Directories are synced too.
func (d *Disk) OpenDir(name string) (vfs.File, error) { return d.file(d.FS.OpenDir(name)) }

// Link implements vfs.FS.
func (d *Disk) Link(oldname, newname string) error {
	d.change()
	return d.FS.Link(oldname, newname)
}

// Remove implements vfs.FS.
func (d *Disk) Remove(name string) error {
	d.change()
	return d.FS.Remove(name)
}

// RemoveAll implements vfs.FS.
func (d *Disk) RemoveAll(name string) error {
	d.change()
	return d.FS.RemoveAll(name)
}

// Rename implements vfs.FS.
func (d *Disk) Rename(oldname, newname string) error {
	d.change()
	return d.FS.Rename(oldname, newname)
}

// MkdirAll implements vfs.FS.
func (d *Disk) MkdirAll(dir string, perm os.FileMode) error {
	d.change()
	return d.FS.MkdirAll(dir, perm)
}

// Lock implements vfs.FS. Locks are none of the disk's data.
func (d *Disk) Lock(name string) (io.Closer, error) { return d.FS.Lock(name) }

// Unwrap implements vfs.FS.
func (d *Disk) Unwrap() vfs.FS { return d.FS }

type file struct {
	vfs.File
	disk *Disk
}

// Write implements vfs.File.
func (f *file) Write(b []byte) (int, error) {
	f.disk.change()
	return f.File.Write(b)
}

// WriteAt implements vfs.File.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	f.disk.change()
	return f.File.WriteAt(b, at)
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	if !f.disk.sync() {
		return nil
	}
	return f.File.Sync()
}

// SyncData implements vfs.File.
func (f *file) SyncData() error {
	if !f.disk.sync() {
		return nil
	}
	return f.File.SyncData()
}

// SyncTo implements vfs.File.
func (f *file) SyncTo(length int64) (bool, error) {
	if !f.disk.sync() {
		return true, nil
	}
	return f.File.SyncTo(length)
}
