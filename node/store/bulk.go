package store

import (
	"bufio"
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// bulkBytes is how much of a table is handed to the system at once. Pebble does so block by block, of 7 kB or so, which costs the system four times
// as much: it takes memory for each page alone (docs/spec/store.md, section 8).
const bulkBytes = 128 << 10

// bulkFS gathers what is written to tables.
type bulkFS struct{ vfs.FS }

// Create implements vfs.FS.
func (fs bulkFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	if err != nil || !strings.HasSuffix(name, ".sst") && !strings.HasSuffix(name, tableName) {
		return f, err
	}
	return &bulkFile{f, bufio.NewWriterSize(f, bulkBytes)}, nil
}

// Unwrap implements vfs.FS.
func (fs bulkFS) Unwrap() vfs.FS { return fs.FS }

// bulkFile is a table in the making. It is not read before it is closed.
type bulkFile struct {
	vfs.File
	bulk *bufio.Writer
}

// Write implements vfs.File.
func (f *bulkFile) Write(p []byte) (int, error) { return f.bulk.Write(p) }

// Sync implements vfs.File.
func (f *bulkFile) Sync() error { return f.then(f.File.Sync) }

// SyncData implements vfs.File.
func (f *bulkFile) SyncData() error { return f.then(f.File.SyncData) }

// SyncTo implements vfs.File.
func (f *bulkFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.then(func() (err error) {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

// Close implements vfs.File. What was not synced may be lost, as with any file.
func (f *bulkFile) Close() error {
	err := f.bulk.Flush()
	if e := f.File.Close(); err == nil {
		err = e
	}
	return err
}

func (f *bulkFile) then(do func() error) error {
	if err := f.bulk.Flush(); err != nil {
		return err
	}
	return do()
}
