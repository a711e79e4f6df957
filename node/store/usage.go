package store

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Counts are exact, across restarts too, and cost nothing.
func (s *Store) Counts() Counts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Counts{
		Finals: s.counts.Finals, LiveOutputs: s.counts.Live, Rejected: s.counts.Rejected, Pending: uint64(s.pending.len()),
	}
}

// Usage is what the store takes on disk and how its writing goes, for metrics.
type Usage struct {
	// Classes are estimated bytes in tables by the name of the class (Classes). What is still in the log
	// alone is not among them.
	Classes map[string]uint64
	// Total is all that the directory takes, log included; Free is what the disk has left and 0 where
	// it cannot be told.
	Total, Free uint64
	// Log is the size of the write-ahead log, Memtables what is kept in memory until it is flushed, the index of the newest
	// final transactions included.
	Log, Memtables uint64
	// CompactionDebt estimates the bytes that compactions still have to write.
	CompactionDebt uint64
	// Stalls counts how often, and StalledFor how long, writes had to wait for flushes or compactions.
	Stalls     uint64
	StalledFor time.Duration
	// BackgroundErrors counts flushes and compactions that failed and were tried again.
	BackgroundErrors uint64
	// CacheHits and CacheMisses count block reads.
	CacheHits, CacheMisses int64
}

// Usage measures. It takes milliseconds: for a metric, not for a decision.
func (s *Store) Usage() (Usage, error) {
	if err := s.enter(); err != nil {
		return Usage{}, err
	}
	defer s.leave()
	m := s.db.Metrics()
	u := Usage{
		Classes:          make(map[string]uint64, len(Classes)),
		Total:            m.DiskSpaceUsage(),
		Log:              m.WAL.Size,
		Memtables:        m.MemTable.Size + s.index.size(),
		CompactionDebt:   m.Compact.EstimatedDebt,
		Stalls:           s.log.stalls.Load(),
		StalledFor:       time.Duration(s.log.stalledNanos.Load()),
		BackgroundErrors: s.log.backgroundErrors.Load(),
		CacheHits:        m.BlockCache.Hits,
		CacheMisses:      m.BlockCache.Misses,
	}
	for _, c := range Classes {
		n, err := s.db.EstimateDiskUsage([]byte{byte(c.Class)}, []byte{byte(c.Class) + 1})
		if err != nil {
			return Usage{}, s.fail(err)
		}
		u.Classes[c.Name] = n
	}
	free, err := s.options.FS.GetDiskUsage(s.dir)
	if err != nil && !errors.Is(err, vfs.ErrUnsupported) {
		return Usage{}, s.fail(err)
	}
	u.Free = free.AvailBytes
	return u, nil
}
