package store

import (
	"errors"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// The ballast is a file of nothing that takes room while there is some. Somebody else may fill the disk to the
// last byte; opening a store needs room for what its log holds, and pruning a little more. The file is
// dropped then, and made again when there is room.
const (
	ballastName = "ballast"
	// maxBallast is its size where the reserve allows for that, in bytes; a reserve below 8 MiB has none.
	maxBallast = 64 << 20
	minReserve = 8 << 20
)

// ballast is the size of the file.
func (s *Store) ballast() uint64 {
	if s.options.InMemory || s.options.ReserveBytes < minReserve {
		return 0
	}
	return min(s.options.ReserveBytes/4, maxBallast)
}

func (s *Store) ballastPath() string { return s.options.FS.PathJoin(s.dir, ballastName) }

// dropBallast makes room before a full disk is opened.
func (s *Store) dropBallast() error {
	size := s.ballast()
	if size == 0 {
		return nil
	}
	usage, err := s.options.FS.GetDiskUsage(s.dir)
	if errors.Is(err, vfs.ErrUnsupported) || err == nil && usage.AvailBytes >= size {
		return nil
	}
	if err != nil {
		return err
	}
	err = s.options.FS.Remove(s.ballastPath())
	if errors.Is(err, errNotExist) {
		return nil
	}
	if err == nil {
		s.options.Logger.Warn("the disk is full: the ballast makes room to open the store", "bytes", size)
	}
	return err
}

// makeBallast makes the file where it is missing and there is room for it beside the reserve. It is no harm where
// it cannot be made, and nothing is said of it but in the log.
func (s *Store) makeBallast() {
	size := s.ballast()
	if size == 0 || s.ballasted.Load() {
		return
	}
	fs := s.options.FS
	usage, err := fs.GetDiskUsage(s.dir)
	if err != nil || usage.AvailBytes < s.options.ReserveBytes+size || !s.ballasted.CompareAndSwap(false, true) {
		return
	}
	if info, err := fs.Stat(s.ballastPath()); err == nil && uint64(info.Size()) == size { // else it was not finished, or another reserve's
		return
	}
	if err := writeBallast(fs, s.ballastPath(), size); err != nil {
		s.options.Logger.Warn("no ballast: a disk that is full to the last byte will not open", "err", err)
		_ = fs.Remove(s.ballastPath())
	}
}

// writeBallast writes it in full: room that a file only promises to take may be given away.
func writeBallast(fs vfs.FS, path string, size uint64) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for left := size; left > 0 && err == nil; left -= min(left, uint64(len(block))) {
		_, err = f.Write(block[:min(left, uint64(len(block)))])
	}
	return errors.Join(err, f.Close())
}
