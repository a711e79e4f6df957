package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Began is the snapshot that a store began from. What was final by then has places 1 to Finals in the final log, by id.
type Began struct {
	// Manifest names the snapshot, TimeMS is that of its cut, Unix milliseconds.
	Manifest domain.Hash
	TimeMS   uint64
	// Finals and Outputs are what was final and what was live.
	Finals, Outputs uint64
	// Weight is that of the members that vouched for it.
	Weight group.Weight
}

// append writes version 1 | manifest 32 | time 8 | finals 8 | outputs 8 | weight 8.
func (b *Began) append(to []byte) []byte {
	to = append(append(to, version1), b.Manifest[:]...)
	for _, n := range [...]uint64{b.TimeMS, b.Finals, b.Outputs, uint64(b.Weight)} {
		to = binary.BigEndian.AppendUint64(to, n)
	}
	return to
}

func decodeBegan(value []byte) (*Began, error) {
	r := read(value)
	b := &Began{Manifest: r.hash(), TimeMS: r.uint64(), Finals: r.uint64(), Outputs: r.uint64(), Weight: group.Weight(r.uint64())}
	return b, r.done("beginning")
}

func (s *Store) loadBegan() error {
	value, ok, err := s.get(s.db, appendMetaKey(nil, metaBegan))
	if err != nil || !ok {
		return err
	}
	if s.began, err = decodeBegan(value); err != nil {
		return s.fail(err)
	}
	return nil
}

// Began is the snapshot that the store began from; nil where it began with the genesis document.
func (s *Store) Began() *Began { return s.began }

// ErrNotFresh says that a store holds something already, and cannot begin from a snapshot.
var ErrNotFresh = errors.New("the store is not new")

// Fresh reports whether nothing is final here, nothing was observed and nothing voted on.
func (s *Store) Fresh() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts.Finals == 0 && s.counts.Rejected == 0 && len(s.heads) == 0 && s.pending.len() == 0 && len(s.votes.at) == 0 && s.began == nil
}

// Begin is a store in the making, from a snapshot. Until Finish has returned, whoever opens the store finds a new one.
// Nobody else may use the store meanwhile. Not for concurrent use.
type Begin struct {
	s        *Store
	manifest *snapshot.Manifest
	unpack   snapshot.Unpacker
	finals   []domain.Hash // ascending; their places are the positions from 1
	holders  []domain.Hash // transactions that hold what the network knows of itself
	cleared  bool
}

// Begin starts. The error matches ErrNotFresh where there is something in the store.
func (s *Store) Begin(m *snapshot.Manifest) (*Begin, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if !s.Fresh() {
		return nil, ErrNotFresh
	}
	if err := s.room(s.options.ReserveBytes); err != nil {
		return nil, err
	}
	if err := s.db.Set(appendMetaKey(nil, metaBeginning), []byte{version1}, pebble.Sync); err != nil {
		return nil, s.fail(err)
	}
	return &Begin{s: s, manifest: m, finals: make([]domain.Hash, 0, min(m.Counts.Finals, 1<<20))}, nil
}

// Piece takes the next piece in, whose hash was checked. Errors match snapshot.ErrPiece where the records are not as a
// store makes them, which more than a third of the weight must have signed.
func (b *Begin) Piece(piece []byte) error {
	return b.write(func(p *plan) error {
		if !b.cleared {
			if err := b.clear(); err != nil {
				return err
			}
		}
		return b.unpack.Piece(piece, func(r snapshot.Record) error { return b.record(p, &r) })
	})
}

// clear takes the live outputs of the genesis document out, of which the snapshot has those that are left.
func (b *Begin) clear() error {
	b.cleared = true
	for _, c := range []Class{ClassLive, ClassAddress} {
		if err := b.s.db.DeleteRange([]byte{byte(c)}, []byte{byte(c) + 1}, pebble.NoSync); err != nil {
			return b.s.fail(err)
		}
	}
	return nil
}

// write makes one batch, which does not wait for the disk.
func (b *Begin) write(plan func(*plan) error) error {
	s := b.s
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.newPlan(nil)
	if err != nil {
		return err
	}
	if err := p.probe.close(plan(p)); err != nil {
		return err
	}
	p.counts.Finals, p.counts.Live = uint64(len(b.finals)), b.unpack.Counts().Outputs
	_, err = p.commit(false)
	return err
}

func (b *Begin) record(p *plan, r *snapshot.Record) error {
	w := p.w
	switch r.Kind {
	case snapshot.Final:
		id, seq := r.ID(), uint64(len(b.finals))+1
		b.finals = append(b.finals, id)
		b.ledger(p, seq, &ledgerValue{Tx: id, FinalInfo: FinalInfo{GroupEpoch: b.manifest.Epoch, Link: b.manifest.Link}})
		w.final(id, seq)
	case snapshot.Spent:
		w.spent(r.Outpoint(), spentValue{By: domain.Hash(r.Value)})
	case snapshot.Output:
		return b.output(p, r)
	case snapshot.Product:
		w.key = appendHashKey(w.key[:0], ClassProduct, r.ID())
		w.value = appendBytes(w.value[:0], r.Value)
		w.set(w.key, w.value)
	}
	return nil
}

// ledger writes what is known of a transaction of the snapshot. When it was final here is the time of the cut.
func (b *Begin) ledger(p *plan, seq uint64, v *ledgerValue) {
	v.FinalMS = b.manifest.TimeMS
	p.w.key = appendSequenceKey(p.w.key[:0], ClassLedger, seq)
	p.w.value = v.append(p.w.value[:0], &p.fresh)
	p.w.set(p.w.key, p.w.value)
}

// output writes a live output. It is kept in its record whatever its length, since its transaction is not here.
func (b *Begin) output(p *plan, r *snapshot.Record) error {
	o := r.Outpoint()
	output, err := utxo.DecodeOutput(r.Value)
	if err != nil {
		return fmt.Errorf("%w: output %s: %w", snapshot.ErrPiece, o, err)
	}
	seq, made := b.place(o.Tx)
	if !made && o.Tx != b.s.options.Network {
		return fmt.Errorf("%w: output %s of a transaction that was not final", snapshot.ErrPiece, o)
	}
	finalMS := b.manifest.TimeMS
	if !made {
		finalMS = b.s.options.GenesisMS
	}
	w := p.w
	w.key = appendOutpointKey(w.key[:0], ClassLive, o)
	w.value = liveValue{finalMS, r.Value}.append(w.value[:0])
	w.set(w.key, w.value)
	w.byAddress(o, &output)
	if o.Index < 1<<cursorBits {
		w.event(output.Address, cursor(seq, int(o.Index)), eventValue{Index: o.Index})
	}
	if made && (output.Kind == notaryv1.OutputKind_OUTPUT_KIND_PEER || output.Kind == notaryv1.OutputKind_OUTPUT_KIND_LINK) {
		b.holders = append(b.holders, o.Tx)
	}
	return nil
}

// place is that of a transaction in the final log; false where it was not final.
func (b *Begin) place(id domain.Hash) (seq uint64, ok bool) {
	i, ok := slices.BinarySearchFunc(b.finals, id, domain.Hash.Compare)
	if !ok {
		return 0, false
	}
	return uint64(i) + 1, true
}

// Holders are the transactions of which the bytes are needed, after the last piece: their outputs hold the newest
// metadata of peers and the present group. So are those of earlier versions and groups.
func (b *Begin) Holders() []domain.Hash { return b.holders }

// Final reports whether a transaction is in the snapshot.
func (b *Begin) Final(id domain.Hash) bool {
	_, ok := b.place(id)
	return ok
}

// Keep takes the bytes of a transaction of the snapshot in. Of one whose quorum is known, final says so, and proof is
// its acceptance proof; nil for others.
func (b *Begin) Keep(tx *utxo.Tx, final *FinalInfo, proof []byte) error {
	seq, ok := b.place(tx.ID)
	if !ok {
		return inconsistent("%s is not in the snapshot", tx.ID)
	}
	return b.write(func(p *plan) error {
		if tx.Peer != nil {
			value, live, err := p.probe.get(appendOutpointKey(nil, ClassLive, tx.PeerOutpoint()))
			if err != nil {
				return err
			}
			if live && len(value) > 0 {
				p.announce(tx)
			}
		}
		v := ledgerValue{Tx: tx.ID, FinalInfo: FinalInfo{GroupEpoch: b.manifest.Epoch, Link: b.manifest.Link}, Raw: tx.Raw}
		if final == nil {
			b.ledger(p, seq, &v)
			return nil
		}
		v.FinalInfo = *final
		b.ledger(p, seq, &v)
		w := p.w
		w.key = appendHashKey(w.key[:0], ClassProof, tx.ID)
		w.value = appendBytes(w.value[:0], proof)
		w.set(w.key, w.value)
		return nil
	})
}

// Finish makes the store begin with what was taken in: one synced batch, before which there is nothing.
func (b *Begin) Finish(weight group.Weight) error {
	s, m := b.s, b.manifest
	if err := b.unpack.Done(m.Counts); err != nil {
		return err
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	began := &Began{Manifest: m.Hash(), TimeMS: m.TimeMS, Finals: m.Counts.Finals, Outputs: m.Counts.Outputs, Weight: weight}
	s.mu.Lock()
	w := &s.scratch
	w.reset()
	w.set(appendMetaKey(nil, metaBegan), began.append(nil))
	w.set(indexedKey, appendPlace(nil, began.Finals))
	w.delete(appendMetaKey(nil, metaBeginning))
	if m.Epoch > 0 {
		entered := Entered{Epoch: m.Epoch, Link: m.Link, Stated: []conflict.Lock{}}
		w.set(appendMetaKey(nil, metaEntered), entered.append(nil))
	}
	wait, err := s.commit(w, true)
	s.mu.Unlock()
	if err == nil {
		err = wait()
	}
	if err != nil {
		return err
	}
	s.began = began
	s.recent.forget()
	s.index.reset(began.Finals)
	s.nowDurable(began.Finals)
	return nil
}

// Abort makes the store a new one again.
func (b *Begin) Abort() error {
	s := b.s
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.undoBegin(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heads, s.votes = map[observation.ChainID]headValue{}, newVoteIndex()
	s.sheaves, s.taken = map[uint64]int{}, map[uint64]uint64{}
	s.pending.clear()
	return s.loadInterned()
}

// undoBegin makes a store new again in which a beginning was not finished.
func (s *Store) undoBegin() error {
	_, unfinished, err := s.get(s.db, appendMetaKey(nil, metaBeginning))
	if err != nil || !unfinished {
		return err
	}
	for _, c := range Classes {
		if c.Class == ClassMeta || c.Class == ClassGenesis {
			continue
		}
		if err := s.db.DeleteRange([]byte{byte(c.Class)}, []byte{byte(c.Class) + 1}, pebble.NoSync); err != nil {
			return s.fail(err)
		}
	}
	s.mu.Lock()
	s.recent.forget()
	s.index.reset(0)
	s.counts, s.interned = countsValue{}, interned{}
	wait, err := s.again()
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return wait()
}

// again writes the outputs of the genesis document anew. s.mu must be held.
func (s *Store) again() (wait func() error, err error) {
	p, err := s.newPlan(nil)
	if err != nil {
		return nil, err
	}
	p.genesis()
	if err := p.probe.close(nil); err != nil {
		return nil, err
	}
	p.w.delete(appendMetaKey(nil, metaBeginning))
	return p.commit(true)
}
