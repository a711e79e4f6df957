package store

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// plan is a batch in the making. Nothing of the store changes before commit.
type plan struct {
	s      *Store
	w      *writes
	probe  *probe
	fresh  fresh
	counts countsValue
	// changes are what the batch makes of the ledger, finals their positions by id, spent what they spend, found where that was, in their order.
	changes []change
	found   []Coin
	finals  map[domain.Hash]int
	spent   map[utxo.Outpoint]domain.Hash
	// rejected are the transactions that the batch rejects. order are those that it remembers, by their place in the
	// rejected log, and noted the same by id: one that is pushed out again within the batch is in neither.
	rejected map[domain.Hash]struct{}
	order    map[uint64]domain.Hash
	noted    map[domain.Hash]struct{}
	leaving  leaving
	// taken are, of sheaves, the first rejections of this batch that take a transaction out. dissolve are the sheaves that are to
	// go in it, since a rejection is forgotten that did (plan.forget).
	taken    map[uint64]uint64
	dissolve map[uint64]struct{}
	spread   []domain.Hash // pending by ClassPending from now on
}

// liveOutput is what the address index needs of a live output, its bytes where nothing else holds them, and where it was found.
type liveOutput struct {
	Address utxo.Address
	Product utxo.Product
	Bytes   []byte
	At      Coin
}

// newPlan begins a batch in which some transactions become final.
func (s *Store) newPlan(finals []Final) (*plan, error) {
	probe, err := s.newProbe()
	if err != nil {
		return nil, err
	}
	s.scratch.reset()
	spends := 0
	for i := range finals {
		if tx := finals[i].Tx; tx != nil { // checkFinal refuses it
			spends += len(tx.Spends())
		}
	}
	return &plan{
		s: s, w: &s.scratch, probe: probe,
		fresh:    fresh{base: &s.interned},
		counts:   s.counts,
		changes:  lentList(&s.lent.changes, len(finals)),
		found:    lentList(&s.lent.found, spends),
		spent:    s.lent.spent.empty(spends),
		finals:   s.lent.finals.empty(len(finals)),
		rejected: map[domain.Hash]struct{}{},
		order:    map[uint64]domain.Hash{},
		noted:    map[domain.Hash]struct{}{},
		leaving:  s.newLeaving(),
		taken:    map[uint64]uint64{},
		dissolve: map[uint64]struct{}{},
	}, nil
}

// commit writes the plan and makes it known: what is final just before, all else just after.
func (p *plan) commit(synced bool) (wait func() error, err error) {
	s, w := p.s, p.w
	p.fresh.settle(w)
	p.leaving.plan(w)
	w.key = appendMetaKey(w.key[:0], metaCounts)
	w.value = p.counts.append(w.value[:0])
	w.set(w.key, w.value)
	s.index.add(p.changes, p.found)
	s.recent.spend(p.changes, p.found)
	if wait, err = s.commit(w, synced); err != nil {
		return nil, err
	}
	s.index.handed()
	s.counts = p.counts
	for id := range p.finals {
		s.pending.remove(id)
	}
	for id := range p.rejected {
		s.pending.remove(id)
	}
	for _, id := range p.spread {
		s.pending.alone(id)
	}
	p.leaving.settle()
	for sheaf, first := range p.taken {
		s.takenAt(sheaf, first)
	}
	for o, winner := range p.spent {
		s.votes.decide(o, winner)
	}
	return wait, nil
}

// end takes apart the sheaves that are to go, and closes what was read from; err is what the caller is about to return.
func (p *plan) end(err error) error {
	for number := range p.dissolve {
		if err != nil {
			break
		}
		var alone []domain.Hash
		alone, err = p.s.spread(p.w, p.probe, &p.leaving, number, p.decides, p.drops)
		p.spread = append(p.spread, alone...)
	}
	return p.probe.close(err)
}

// decides reports whether a transaction is pending no more after this batch.
func (p *plan) decides(id domain.Hash) bool {
	_, final := p.finals[id]
	_, rejected := p.rejected[id]
	return final || rejected
}

// drops reports whether the vote records of an outpoint go with this batch.
func (p *plan) drops(o utxo.Outpoint) bool {
	winner, spent := p.spent[o]
	return spent && !p.s.votes.contested(o, winner)
}

// final plans one transaction.
func (p *plan) final(f *Final) error {
	if err := checkFinal(f); err != nil {
		return err
	}
	id := f.Tx.ID
	c, err := p.change(f)
	if err != nil {
		return err
	}
	known, err := p.unreject(id)
	if err != nil {
		return err
	}
	p.describe(f.Tx)
	p.announce(f.Tx)
	p.counts.Finals++
	p.counts.Live += uint64(len(c.outputs))
	p.record(f, p.counts.Finals, known)
	p.finals[id] = len(p.changes)
	p.changes = append(p.changes, c)
	for _, o := range f.Tx.Spends() {
		if err := p.dropVotes(o, id); err != nil {
			return err
		}
	}
	for i := range f.Rivals {
		if err := p.reject(&f.Rivals[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkFinal asks for what nothing can be final without.
func checkFinal(f *Final) error {
	if f.Tx == nil || f.Tx.ID.IsZero() || len(f.Tx.Raw) == 0 {
		return inconsistent("a transaction without id or bytes")
	}
	if len(f.Tx.Spends()) == 0 {
		return inconsistent("%s spends nothing", f.Tx.ID)
	}
	return nil
}

// change is what a transaction does. What it spends must be live.
func (p *plan) change(f *Final) (change, error) {
	tx, spends := f.Tx, f.Tx.Spends()
	c := change{tx: tx.ID, finalMS: f.FinalMS, outputs: p.s.index.outputs.take(len(tx.Outputs)), spends: p.s.index.spends.take(len(spends))}
	copy(c.outputs, tx.Outputs)
	for i := range c.outputs {
		c.outputs[i].Own()
	}
	start, first := tx.Origin()
	for i, o := range spends {
		var err error
		if first && o == start {
			c.spends[i], err = p.begin(tx.ID, o)
		} else {
			c.spends[i], err = p.spend(tx.ID, o, CoinAt(f.Coins, i))
		}
		if err != nil {
			return change{}, err
		}
	}
	return c, nil
}

// spend takes an outpoint out of the live set.
func (p *plan) spend(id domain.Hash, o utxo.Outpoint, c Coin) (spend, error) {
	live, err := p.live(id, o, c)
	if err != nil {
		return spend{}, err
	}
	p.spent[o] = id
	p.found = append(p.found, live.At)
	p.counts.Live--
	return spend{outpoint: o, address: live.Address, product: live.Product, kept: live.Bytes}, nil
}

// begin spends the origin of a peer, which nobody has made, once.
func (p *plan) begin(id domain.Hash, o utxo.Outpoint) (spend, error) {
	var gone *NotLiveError
	switch _, err := p.live(id, o, Coin{}); {
	case err == nil:
		return spend{}, inconsistent("%s: an output at the origin of a peer", id)
	case !errors.As(err, &gone) || !gone.SpentBy.IsZero():
		return spend{}, err
	}
	p.spent[o] = id
	p.found = append(p.found, Coin{})
	return spend{outpoint: o, origin: true}, nil
}

// live finds an output that may be spent, by this store's own account and not by the delta's: by what this batch makes and spends, by what is
// in memory, and by the database.
func (p *plan) live(id domain.Hash, o utxo.Outpoint, c Coin) (liveOutput, error) {
	if by, twice := p.spent[o]; twice {
		return liveOutput{}, notLive(id, o, by)
	}
	if i, ok := p.finals[o.Tx]; ok {
		if outputs := p.changes[i].outputs; uint64(o.Index) < uint64(len(outputs)) {
			return liveOutput{Address: outputs[o.Index].Address, Product: outputs[o.Index].Product}, nil
		}
	}
	output, by, at, ok := p.s.inMemory(o, c)
	if ok && !by.IsZero() {
		return liveOutput{}, notLive(id, o, by)
	}
	if ok && (at.made.in != 0 || p.s.began == nil) { // else its bytes may be needed
		return liveOutput{Address: output.Address, Product: output.Product, At: at}, nil
	}
	var buf [outpointKeyLen]byte
	value, ok, err := p.probe.get(appendOutpointKey(buf[:0], ClassLive, o))
	if err != nil {
		return liveOutput{}, err
	}
	if ok {
		output, _, err := p.s.liveOutput(p.s.db, o, value)
		if err != nil {
			return liveOutput{}, err
		}
		kept, err := p.onlyHere(o, value)
		return liveOutput{Address: output.Address, Product: output.Product, Bytes: kept}, err
	}
	by, _, err = p.s.spentBy(p.probe, o)
	if err != nil {
		return liveOutput{}, err
	}
	return liveOutput{}, notLive(id, o, by)
}

// onlyHere is a live output, by its record, whose transaction is not here since it was final before this store began.
func (p *plan) onlyHere(o utxo.Outpoint, value []byte) ([]byte, error) {
	if p.s.began == nil || o.Tx == p.s.options.Network {
		return nil, nil
	}
	live, err := decodeLive(value)
	if err != nil {
		return nil, p.s.fail(err)
	}
	kept := bytes.Clone(live.Output)
	f, ok, err := p.s.final(p.s.db, o.Tx)
	if err != nil || ok && len(f.Raw) > 0 {
		return nil, err
	}
	return kept, nil
}

func notLive(id domain.Hash, o utxo.Outpoint, by domain.Hash) error {
	if by == id {
		return fmt.Errorf("%w: %s", ErrAlreadyFinal, id)
	}
	return &NotLiveError{Tx: id, Outpoint: o, SpentBy: by}
}

// describe keeps what the issuer of a product calls it. What may be issued is a hash, which most transactions need not be asked for.
func (p *plan) describe(tx *utxo.Tx) {
	for i := range tx.Outputs {
		if o := &tx.Outputs[i]; o.Data != nil && o.Product == tx.Issues() {
			p.describeOutput(o)
		}
	}
}

func (p *plan) describeOutput(o *utxo.Output) {
	if o.Product.IsZero() || o.Data == nil || o.Data.Kind != notaryv1.DataKind_DATA_KIND_PRODUCT_INFO {
		return
	}
	w := p.w
	w.key = appendHashKey(w.key[:0], ClassProduct, o.Product)
	w.value = appendBytes(w.value[:0], o.Data.Payload)
	w.set(w.key, w.value)
}

// announce keeps where the newest metadata of a peer is.
func (p *plan) announce(tx *utxo.Tx) {
	if tx.Peer == nil {
		return
	}
	w := p.w
	w.key = appendHashKey(w.key[:0], ClassPeer, tx.Peer.ID)
	w.value = appendOutpoint(append(w.value[:0], version1), tx.PeerOutpoint())
	w.set(w.key, w.value)
}

// record writes the transaction into the ledger. Where it was pending by a record of its own, or rejected, its bytes are there alone no
// more.
func (p *plan) record(f *Final, seq uint64, rejected bool) {
	w, id := p.w, f.Tx.ID
	if tx, pending := p.endPending(id); rejected || pending && tx.Sheaf == 0 {
		w.key = appendHashKey(w.key[:0], ClassTx, id)
		w.delete(w.key)
	}
	v := ledgerValue{Tx: id, FinalInfo: FinalInfo{
		FinalMS: f.FinalMS, Round: f.Round, GroupEpoch: f.GroupEpoch, Link: f.Link, Edges: f.Edges,
	}, Raw: f.Tx.Raw}
	w.key = appendSequenceKey(w.key[:0], ClassLedger, seq)
	w.value = v.append(w.value[:0], &p.fresh)
	w.set(w.key, w.value)
}
