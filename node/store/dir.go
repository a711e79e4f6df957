package store

import (
	"errors"
	"io/fs"

	"github.com/cockroachdb/pebble/v2/vfs"
)

var errNotExist = fs.ErrNotExist

// makeDir makes a directory and those above it that are missing, and syncs each parent: a directory
// whose entry is not on disk takes its votes with it in a crash.
func makeDir(fs vfs.FS, dir string) error {
	parent := fs.PathDir(dir)
	if parent != dir {
		if _, err := fs.Stat(parent); errors.Is(err, errNotExist) {
			if err := makeDir(fs, parent); err != nil {
				return err
			}
		} else if err != nil {
			return err
		}
	}
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return syncDir(fs, parent)
}

func syncDir(fs vfs.FS, dir string) error {
	d, err := fs.OpenDir(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
