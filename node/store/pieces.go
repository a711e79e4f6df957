package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/proto/domain"
)

// Names within the directory of a store: snapshotDir holds a directory for each snapshot, called by its time, with
// manifestFile, and piecesFile, which is the pieces one behind the other, the length of each in front of it, 4 bytes.
const (
	snapshotDir  = "snapshots"
	manifestFile = "manifest"
	piecesFile   = "pieces"
)

// keptSnapshots is how many snapshots are kept: who pulls the last but one can end.
const keptSnapshots = snapshot.MaxOffers

// Snapshot is one on disk, that others may pull.
type Snapshot struct {
	Manifest *snapshot.Manifest
	Raw      []byte // of the manifest
	Hash     domain.Hash
	file     vfs.File
	at       []int64 // where each piece begins
	size     []uint32
}

// Bytes is how long all pieces are together.
func (p *Snapshot) Bytes() (sum uint64) {
	for _, n := range p.size {
		sum += uint64(n)
	}
	return sum
}

// Piece reads a piece, the first being 0, and holds it against its hash. Safe for concurrent use.
func (p *Snapshot) Piece(i int) ([]byte, error) {
	b := make([]byte, p.size[i])
	if _, err := p.file.ReadAt(b, p.at[i]); err != nil {
		return nil, fmt.Errorf("piece %d of snapshot %s: %w", i, p.Hash, err)
	}
	if snapshot.HashPiece(b) != p.Manifest.Pieces[i] {
		return nil, fmt.Errorf("piece %d of snapshot %s is damaged", i, p.Hash)
	}
	return b, nil
}

// Close ends reading.
func (p *Snapshot) Close() error { return p.file.Close() }

// MakeSnapshot writes what was final at one moment, but for some transactions, into pieces on disk. m says the network,
// the group and the time; the rest of it is filled in. rest is called after each piece, and its error ends the work. It
// needs room beyond the reserve: else the error matches ErrFull. What is unfinished is removed by the next.
func (s *Store) MakeSnapshot(f *Frozen, out []domain.Hash, m *snapshot.Manifest, rest func() error) (*Snapshot, error) {
	fs := s.options.FS
	home := fs.PathJoin(s.dir, snapshotDir)
	if err := makeDir(fs, home); err != nil {
		return nil, err
	}
	if err := s.dropUnfinished(home); err != nil {
		return nil, err
	}
	dir := fs.PathJoin(home, strconv.FormatUint(m.TimeMS, 10))
	if err := s.writePieces(f, out, m, dir+partial, rest); err != nil {
		return nil, errors.Join(err, fs.RemoveAll(dir+partial))
	}
	if err := errors.Join(fs.RemoveAll(dir), fs.Rename(dir+partial, dir), syncDir(fs, home)); err != nil {
		return nil, err
	}
	return s.openSnapshot(dir)
}

func (s *Store) writePieces(f *Frozen, out []domain.Hash, m *snapshot.Manifest, dir string, rest func() error) (err error) {
	fs := s.options.FS
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file, err := fs.Create(fs.PathJoin(dir, piecesFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	packer := snapshot.NewPacker(snapshot.MaxPiece, func(piece []byte) error {
		if err := s.room(s.options.ReserveBytes + snapshot.MaxPiece); err != nil {
			return err
		}
		_, err := file.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(piece)), uint32(len(piece))), piece...))
		return errors.Join(err, rest())
	})
	err = f.Records(out, packer.Add)
	if err == nil {
		m.Pieces, m.Counts, err = packer.Done()
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	manifest, err := fs.Create(fs.PathJoin(dir, manifestFile), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = manifest.Write(m.Encode())
	return errors.Join(err, manifest.Sync(), manifest.Close(), syncDir(fs, dir))
}

// openSnapshot reads a finished one back.
func (s *Store) openSnapshot(dir string) (*Snapshot, error) {
	fs := s.options.FS
	file, err := fs.Open(fs.PathJoin(dir, manifestFile))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(file, snapshot.MaxManifest+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return nil, err
	}
	p := &Snapshot{Raw: raw, Hash: snapshot.HashManifest(raw)}
	if p.Manifest, err = snapshot.DecodeManifest(raw, s.options.Network); err != nil {
		return nil, err
	}
	if p.file, err = fs.Open(fs.PathJoin(dir, piecesFile)); err != nil {
		return nil, err
	}
	at := int64(0)
	for range p.Manifest.Pieces {
		var length [4]byte
		if _, err := p.file.ReadAt(length[:], at); err != nil {
			return nil, errors.Join(err, p.file.Close())
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == 0 || n > snapshot.MaxPiece {
			return nil, errors.Join(fmt.Errorf("a piece of %d bytes", n), p.file.Close())
		}
		p.at, p.size = append(p.at, at+4), append(p.size, n)
		at += 4 + int64(n)
	}
	return p, nil
}

// Snapshots opens those on disk, the newest first, and drops what is older or cannot be read.
func (s *Store) Snapshots() (list []*Snapshot, err error) {
	fs := s.options.FS
	home := fs.PathJoin(s.dir, snapshotDir)
	if _, err := fs.Stat(home); errors.Is(err, errNotExist) {
		return nil, nil
	}
	if err := s.dropUnfinished(home); err != nil {
		return nil, err
	}
	times, err := s.snapshotTimes(home)
	if err != nil {
		return nil, err
	}
	for _, t := range times {
		dir := fs.PathJoin(home, strconv.FormatUint(t, 10))
		if len(list) < keptSnapshots {
			if p, err := s.openSnapshot(dir); err == nil {
				list = append(list, p)
				continue
			}
		}
		if err := fs.RemoveAll(dir); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// snapshotTimes are those on disk, newest first.
func (s *Store) snapshotTimes(home string) (times []uint64, err error) {
	names, err := s.options.FS.List(home)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if t, err := strconv.ParseUint(name, 10, 64); err == nil {
			times = append(times, t)
		}
	}
	slices.Sort(times)
	slices.Reverse(times)
	return times, nil
}

// DropSnapshot removes one that nobody reads any more.
func (s *Store) DropSnapshot(p *Snapshot) error {
	fs := s.options.FS
	return errors.Join(p.Close(), fs.RemoveAll(fs.PathJoin(s.dir, snapshotDir, strconv.FormatUint(p.Manifest.TimeMS, 10))))
}

// dropUnfinished removes what a crash has left.
func (s *Store) dropUnfinished(home string) error {
	fs := s.options.FS
	names, err := fs.List(home)
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, err := strconv.ParseUint(name, 10, 64); err != nil {
			if err := fs.RemoveAll(fs.PathJoin(home, name)); err != nil {
				return err
			}
		}
	}
	return nil
}
