package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Schema is the version of keys and values that this program reads and writes.
const Schema = 3

// identify holds the store against the options, or makes a new one of an empty directory.
func (s *Store) identify() error {
	schema, ok, err := s.get(s.db, appendMetaKey(nil, metaSchema))
	if err != nil {
		return err
	}
	if !ok {
		return s.bind()
	}
	if len(schema) != 4 {
		return s.fail(corrupt("schema version"))
	}
	if v := binary.BigEndian.Uint32(schema); v != Schema {
		if v > Schema {
			return fmt.Errorf("%w: schema %d, this version reads %d", ErrNewerSchema, v, Schema)
		}
		if v > 0 {
			return fmt.Errorf("%w: schema %d, this version reads %d", ErrOlderSchema, v, Schema)
		}
		return s.fail(corrupt("schema version %d", v))
	}
	network, _, err := s.get(s.db, appendMetaKey(nil, metaNetwork))
	if err != nil {
		return err
	}
	if !bytes.Equal(network, s.options.Network[:]) {
		return fmt.Errorf("%w: %x, not %s", ErrOtherNetwork, network, s.options.Network)
	}
	key, _, err := s.get(s.db, appendMetaKey(nil, metaKey))
	if err != nil {
		return err
	}
	if !bytes.Equal(key, s.options.Key[:]) {
		return fmt.Errorf("%w: %x, not %s", ErrOtherKey, key, s.options.Key)
	}
	return nil
}

// bind makes a new store: its identity and the outputs of the genesis document, in one synced batch.
func (s *Store) bind() error {
	for key, err := range scan(s, nil, nil, func(key, _ []byte) (string, error) { return string(key), nil }) {
		if err != nil {
			return err
		}
		return s.fail(corrupt("records without an identity, such as %x", key))
	}
	if !s.options.Create {
		return ErrNoVotes
	}
	p, err := s.newPlan(nil)
	if err != nil {
		return err
	}
	p.genesis()
	if err := p.probe.close(nil); err != nil {
		return err
	}
	for name, value := range map[string][]byte{
		metaSchema:  binary.BigEndian.AppendUint32(nil, Schema),
		metaNetwork: s.options.Network[:],
		metaKey:     s.options.Key[:],
		metaSigning: Signing{Epoch: s.options.SigningEpoch, Backup: s.options.unrestored}.append(nil),
	} {
		p.w.set(appendMetaKey(nil, name), value)
	}
	wait, err := p.commit(true)
	if err != nil {
		return err
	}
	return wait()
}

// genesis plans the outputs that exist from the start. In the address log they have sequence number 0.
func (p *plan) genesis() {
	w, g := p.w, &p.s.options.Genesis
	for i := range g.Created {
		c := &g.Created[i]
		w.live(c.Outpoint, &c.Output, p.s.options.GenesisMS)
		w.byAddress(c.Outpoint, &c.Output)
		w.event(c.Output.Address, cursor(0, i), eventValue{Index: c.Outpoint.Index})
		p.counts.Live++
		p.describeOutput(&c.Output)
		w.key = appendNumberKey(w.key[:0], ClassGenesis, c.Outpoint.Index)
		w.value = liveValue{p.s.options.GenesisMS, c.Output.AppendTo(nil)}.append(w.value[:0])
		w.set(w.key, w.value)
	}
}

// load reads what is kept in memory too.
func (s *Store) load() error {
	value, ok, err := s.get(s.db, appendMetaKey(nil, metaCounts))
	if err != nil {
		return err
	}
	if !ok {
		return s.fail(corrupt("no counters"))
	}
	if s.counts, err = decodeCounts(value); err != nil {
		return s.fail(err)
	}
	s.durable.Store(s.counts.Finals)
	for _, part := range []func() error{s.loadSigning, s.loadBegan, s.loadInterned, s.replay, s.loadHeads, s.loadPending, s.loadVotes, s.loadSheaves} {
		if err := part(); err != nil {
			return err
		}
	}
	return s.checkOwnChain()
}

func (s *Store) loadInterned() error {
	s.interned = interned{}
	next := uint32(0)
	for v, err := range scanClass(s, ClassIntern, func(key, value []byte) ([32]byte, error) {
		n, err := parseNumberKey(ClassIntern, key)
		if err != nil {
			return [32]byte{}, err
		}
		b, err := decodeBytes(value)
		if err != nil || len(b) != 32 || n != next {
			return [32]byte{}, corrupt("interned value %d", n)
		}
		next++
		return [32]byte(b), nil
	}) {
		if err != nil {
			return s.fail(err)
		}
		s.interned.add(v)
	}
	return nil
}

func (s *Store) loadHeads() error {
	type entry struct {
		id   observation.ChainID
		head headValue
	}
	for e, err := range scanClass(s, ClassHead, func(key, value []byte) (e entry, err error) {
		if e.id, err = parseHeadKey(key); err != nil {
			return e, err
		}
		e.head, err = decodeHead(value)
		return e, err
	}) {
		if err != nil {
			return s.fail(err)
		}
		s.heads[e.id] = e.head
		if s.mine(e.id) {
			s.signed[e.id] = e.head
		}
	}
	return nil
}

func (s *Store) loadPending() error {
	type entry struct {
		id domain.Hash
		ms uint64
	}
	for e, err := range scanClass(s, ClassPending, func(key, value []byte) (e entry, err error) {
		if e.id, err = parseHashKey(ClassPending, key); err != nil {
			return e, err
		}
		e.ms, err = decodeTime(value)
		return e, err
	}) {
		if err != nil {
			return s.fail(err)
		}
		s.pending.set(e.id, pendingTx{VotedMS: e.ms})
	}
	return nil
}

func (s *Store) loadVotes() error {
	for r, err := range scanClass(s, ClassVote, decodeVote) {
		if err != nil {
			return s.fail(err)
		}
		s.votes.add(&r, false, 0)
	}
	return nil
}

func decodeVote(key, value []byte) (conflict.Record, error) {
	r, err := conflict.DecodeRecord(key[1:], value)
	if err != nil {
		return r, corrupt("%v", err)
	}
	return r, nil
}

// checkOwnChain makes sure that the heads of this node's own chains are what is stored there: a node
// whose observations are gone, whatever became of them, would sign at a height a second time.
func (s *Store) checkOwnChain() error {
	for id, head := range s.heads {
		if id.Key != s.options.Key {
			continue
		}
		value, ok, err := s.get(s.db, appendObservationKey(nil, id, head.Height))
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%w: no observation at height %d of signing epoch %d", ErrNoVotes, head.Height, id.SigningEpoch)
		}
		if hash, _, err := decodeObservation(value); err != nil || hash != head.Hash {
			return fmt.Errorf("%w: another observation at height %d of signing epoch %d", ErrNoVotes, head.Height, id.SigningEpoch)
		}
	}
	return nil
}
