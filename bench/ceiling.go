package bench

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Ceilings are what the parts of a transaction cost on one core, in microseconds of processor time. No node that
// checks every signature and syncs what is final can be faster than their sum allows.
type Ceilings struct {
	// VerifyUS is one signature in a batch of 256.
	VerifyUS float64 `json:"verify_us"`
	// HashUS is the id and the full hash of a transaction, and for each node the leaves of its two votes with their part of the tree:
	// a node makes its own and checks those of all others.
	HashUS float64 `json:"hash_us"`
	// DecodeUS is decoding and every rule that the bytes decide.
	DecodeUS float64 `json:"decode_us"`
	// CommitUS is two deletes, two puts of 80 bytes and one of the transaction's size, a thousand transactions in
	// one synced batch, in a store of as many live outputs as the load begins with (maxCommitLive at most), flushes and compactions included.
	CommitUS float64 `json:"commit_us"`
	// PageUS is the first use of a page of memory, measured before each load (touchMemory). It is no part of the sum.
	PageUS float64 `json:"page_us,omitempty"`
}

// SumUS is the processor time that one transaction costs one node at the least.
func (c Ceilings) SumUS() float64 { return c.VerifyUS + c.HashUS + c.DecodeUS + c.CommitUS }

// What the commit ceiling writes: about as many transactions as a load makes final in half a minute, so that flushes and compactions count as they
// do there. maxCommitLive is the largest live set that it begins with.
const (
	commits       = 400_000
	maxCommitLive = 1_000_000
)

// MeasureCeilings times the parts for a network of so many nodes and live outputs, the commit in a store of its own under dir.
func MeasureCeilings(dir string, sample []*utxo.Tx, rules utxo.Rules, nodes, live int) (c Ceilings, err error) {
	if len(sample) < 256 {
		return c, fmt.Errorf("bench: %d transactions are too few to measure with", len(sample))
	}
	checks := make([]domain.Check, 0, 256)
	for _, tx := range sample[:256] {
		checks = append(checks, tx.Checks()[0])
	}
	c.VerifyUS, err = each(40, len(checks), func() error {
		for i, ok := range domain.VerifyBatch(checks, rand.Reader) {
			if !ok {
				return fmt.Errorf("bench: signature %d is bad", i)
			}
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	c.HashUS, err = each(40, len(sample), func() error {
		for _, tx := range sample {
			if domain.Sum(domain.TagTx, tx.Body) != tx.ID {
				return fmt.Errorf("bench: %s hashes to another id", tx.ID)
			}
			domain.Sum(domain.TagTx, tx.Raw)
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	c.DecodeUS, err = each(10, len(sample), func() error {
		for _, tx := range sample {
			if _, err := utxo.Decode(tx.Raw, rules); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	c.DecodeUS -= c.HashUS // Decode hashes
	leaf, err := measureLeaf(sample)
	if err != nil {
		return c, err
	}
	c.HashUS += 2 * float64(nodes) * leaf
	c.CommitUS, err = measureCommit(dir, len(sample[0].Raw), min(max(live, 1000), maxCommitLive))
	return c, err
}

// measureLeaf is what a leaf takes to be hashed, in a tree of as many as a sample has transactions.
func measureLeaf(sample []*utxo.Tx) (float64, error) {
	leaves := make([]byte, 0, observation.LeafSize*len(sample))
	for _, tx := range sample {
		leaves = observation.Leaf{Subject: tx.ID, Type: observation.SubjectTx, State: observation.Pending, TimeMS: 1}.AppendTo(leaves)
	}
	root := observation.RootOf(leaves)
	return each(40, len(sample), func() error {
		if observation.RootOf(leaves) != root {
			return errors.New("bench: leaves hash to another root")
		}
		return nil
	})
}

// each is the processor time of one of n things that do does, over some rounds, in microseconds.
func each(rounds, n int, do func() error) (float64, error) {
	before := selfCPU()
	for range rounds {
		if err := do(); err != nil {
			return 0, err
		}
	}
	return float64((selfCPU() - before).Nanoseconds()) / 1000 / float64(rounds*n), nil
}

// selfCPU is the processor time that this process has used.
func selfCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // never for the process itself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measureCommit writes what no store of this kind can do without, through pebble as the node tunes it.
func measureCommit(dir string, txBytes, live int) (us float64, err error) {
	db, err := pebble.Open(dir, &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, Logger: silent{}, MemTableSize: 64 << 20, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, LBaseMaxBytes: 256 << 20,
	})
	if err != nil {
		return 0, err
	}
	defer func() {
		if e := db.Close(); err == nil {
			err = e
		}
	}()
	value, tx := make([]byte, 80), make([]byte, txBytes)
	if _, err := rand.Read(tx); err != nil {
		return 0, err
	}
	key := func(class byte, n int) []byte { // n is negative for what is live at the start
		h := domain.Sum(domain.TagTx, binary.BigEndian.AppendUint64(nil, uint64(n)))
		return append([]byte{class}, h[:]...)
	}
	for n := -live; n < 0; n += 1000 {
		b := db.NewBatch()
		for i := n; i < min(n+1000, 0); i++ {
			_ = b.Set(key('u', i), value, nil) // an indexed error is impossible on a batch in memory
			_ = b.Set(key('a', i), value, nil)
		}
		if err := b.Commit(pebble.NoSync); err != nil {
			return 0, err
		}
	}
	if err := db.Flush(); err != nil {
		return 0, err
	}
	for db.Metrics().Compact.NumInProgress > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	before := selfCPU()
	for n := 0; n < commits; n += 1000 {
		b := db.NewBatchWithSize(1000 * (txBytes + 400))
		for i := n; i < n+1000; i++ {
			_ = b.Delete(key('u', i-live), nil)
			_ = b.Delete(key('a', i-live), nil)
			_ = b.Set(key('u', i), value, nil)
			_ = b.Set(key('a', i), value, nil)
			_ = b.Set(key('t', i), tx, nil)
		}
		if err := b.Commit(pebble.Sync); err != nil {
			return 0, err
		}
	}
	return float64((selfCPU() - before).Nanoseconds()) / 1000 / commits, nil
}

// silent keeps pebble's chatter out of a report.
type silent struct{}

func (silent) Infof(string, ...any)  {}
func (silent) Errorf(string, ...any) {}
func (silent) Fatalf(format string, args ...any) {
	panic(fmt.Sprintf(format, args...))
}
