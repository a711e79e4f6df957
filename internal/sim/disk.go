package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// write is one batch: all of it is on disk after its sync, or nothing.
type write struct {
	records      []conflict.Record
	own          *observation.Observation
	observations []*observation.Observation
	txs          []*utxo.Tx
	final        *finalWrite
	entered      *entered
	clear        *clearance
}

// finalWrite is a transaction that became final.
type finalWrite struct {
	delta   utxo.Delta
	at      conflict.Finality
	finalMS uint64 // by this node's clock
}

// disk is what a node has written. A crash keeps what was synced.
type disk struct {
	records      map[recordKey]conflict.Record
	observations []*observation.Observation
	txs          map[domain.Hash]*utxo.Tx
	finals       []finalWrite
	votedMS      map[domain.Hash]uint64 // of this node's first vote, by its clock
	evidence     map[conviction]*observation.Evidence
	head         observation.Head
	entered      *entered
	clear        *clearance
	unsynced     []write
	durable      int // writes synced
}

type recordKey [conflict.RecordKeySize]byte

func newDisk(head observation.Head) *disk {
	return &disk{records: make(map[recordKey]conflict.Record), txs: make(map[domain.Hash]*utxo.Tx), votedMS: make(map[domain.Hash]uint64), evidence: make(map[conviction]*observation.Evidence), head: head}
}

// put adds a write, and returns how many there were with it: what sync must be asked for.
func (d *disk) put(w write) int {
	d.unsynced = append(d.unsynced, w)
	return d.durable + len(d.unsynced)
}

// sync makes durable the first n writes.
func (d *disk) sync(n int) {
	n = max(n-d.durable, 0)
	d.durable += n
	for _, w := range d.unsynced[:n] {
		for _, r := range w.records {
			d.records[recordKey(r.Key())] = r
		}
		if w.own != nil {
			d.head = w.own.Head()
			d.observations = append(d.observations, w.own)
		}
		d.observations = append(d.observations, w.observations...)
		for _, tx := range w.txs {
			d.txs[tx.ID] = tx
			if _, voted := d.votedMS[tx.ID]; w.own != nil && !voted {
				d.votedMS[tx.ID] = w.own.Header.TimeMS
			}
		}
		if w.entered != nil {
			d.entered = w.entered
		}
		if w.clear != nil {
			d.clear = w.clear
		}
		if w.final != nil {
			d.finals = append(d.finals, *w.final)
		}
	}
	d.unsynced = append(d.unsynced[:0:0], d.unsynced[n:]...)
}

// crash loses what was not synced.
func (d *disk) crash() { d.unsynced = nil }

// prune drops what honest peers signed, which anti-entropy brings back: all but the certificates behind this node's
// ACCEPTED, which it must serve until the matter is decided. Branches of a liar's chain are never fetched again.
func (d *disk) prune(honest func(domain.PublicKey) bool) {
	accepted := make(map[domain.Hash]bool)
	for _, r := range d.records {
		if r.State == observation.Accepted {
			accepted[r.Tx] = true
		}
	}
	d.observations = slices.DeleteFunc(d.observations, func(o *observation.Observation) bool {
		if o.Header.Key == d.head.Key || !honest(o.Header.Key) {
			return false
		}
		for i := range int(o.Header.LeafCount) {
			if accepted[o.Leaf(i).Subject] {
				return false
			}
		}
		return true
	})
}
