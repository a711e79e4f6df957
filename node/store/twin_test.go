package store

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/notarynet/notaryd/conflict"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// twin does in plain maps and slices what a store shall do, slowly and obviously.
type twin struct {
	maxRejected int

	set      utxo.Set
	finals   []Final
	raw      map[domain.Hash][]byte
	pending  map[domain.Hash]uint64
	rejected []Rejection // oldest first
	records  map[conflict.Record]conflict.Record
	seen     []*observation.Observation // in the order of their coming
	events   []twinEvent
}

type twinEvent struct {
	address utxo.Address
	AddressEvent
}

func newTwin(o Options) *twin {
	w := &twin{
		maxRejected: o.MaxRejected,
		raw:         map[domain.Hash][]byte{},
		pending:     map[domain.Hash]uint64{},
		records:     map[conflict.Record]conflict.Record{},
	}
	if err := w.set.Apply(o.Genesis, o.GenesisMS); err != nil {
		panic(err)
	}
	for i, c := range o.Genesis.Created {
		w.events = append(w.events, twinEvent{c.Output.Address, AddressEvent{
			Cursor: cursor(0, i), Tx: network, Outpoint: c.Outpoint, Output: c.Output, FinalMS: o.GenesisMS,
		}})
	}
	return w
}

// slot is what of a record makes its key.
func slot(r conflict.Record) conflict.Record {
	return conflict.Record{Outpoint: r.Outpoint, Round: r.Round, State: r.State}
}

func (w *twin) final(id domain.Hash) *Final {
	for i := range w.finals {
		if w.finals[i].Tx.ID == id {
			return &w.finals[i]
		}
	}
	return nil
}

func (w *twin) rejection(id domain.Hash) int {
	return slices.IndexFunc(w.rejected, func(r Rejection) bool { return r.Tx == id })
}

func (w *twin) commit(f Final) {
	seq := uint64(len(w.finals) + 1)
	id, delta := f.Tx.ID, utxo.DeltaOf(f.Tx, &w.set)
	for i, x := range delta.Spent {
		e, _ := w.set.Lookup(x.Outpoint)
		w.events = append(w.events, twinEvent{e.Output.Address, AddressEvent{
			Cursor: cursor(seq, i), Tx: id, Spent: true, Outpoint: x.Outpoint, Output: e.Output, FinalMS: e.FinalMS,
		}})
	}
	for i, c := range delta.Created {
		w.events = append(w.events, twinEvent{c.Output.Address, AddressEvent{
			Cursor: cursor(seq, len(delta.Spent)+i), Tx: id, Outpoint: c.Outpoint, Output: c.Output, FinalMS: f.FinalMS,
		}})
	}
	if err := w.set.Apply(delta, f.FinalMS); err != nil {
		panic(err)
	}
	w.finals = append(w.finals, f)
	if _, voted := w.pending[id]; !voted {
		w.raw[id] = f.Tx.Raw
	}
	delete(w.pending, id)
	if i := w.rejection(id); i >= 0 {
		w.rejected = slices.Delete(w.rejected, i, i+1)
	}
	for _, r := range f.Rivals {
		w.reject(r)
	}
	for _, o := range f.Tx.Spends() {
		if !w.votedOn(o, func(r conflict.Record) bool { return r.Tx != id }) {
			maps.DeleteFunc(w.records, func(k, _ conflict.Record) bool { return k.Outpoint == o })
		}
	}
}

// votedOn reports whether a record of an outpoint is as asked for.
func (w *twin) votedOn(o utxo.Outpoint, as func(conflict.Record) bool) bool {
	for _, r := range w.records {
		if r.Outpoint == o && as(r) {
			return true
		}
	}
	return false
}

func (w *twin) reject(r Rejected) {
	for _, rec := range r.Released {
		if _, known := w.records[slot(rec)]; known {
			w.records[slot(rec)] = rec
		}
	}
	delete(w.pending, r.Tx)
	if w.rejection(r.Tx) >= 0 {
		return
	}
	w.rejected = append(w.rejected, r.Rejection)
	for len(w.rejected) > w.maxRejected {
		oldest := w.rejected[0].Tx
		w.rejected = w.rejected[1:]
		if _, pending := w.pending[oldest]; !pending {
			delete(w.raw, oldest)
		}
	}
}

func (w *twin) vote(b VoteBatch) {
	for _, tx := range b.Transactions {
		_, pending := w.pending[tx.ID]
		if pending || w.final(tx.ID) != nil {
			continue
		}
		w.raw[tx.ID], w.pending[tx.ID] = tx.Raw, b.Observations[0].Header.TimeMS
	}
	for _, r := range b.Records {
		e, _ := w.set.Lookup(r.Outpoint)
		if e.SpentBy != r.Tx || w.votedOn(r.Outpoint, func(conflict.Record) bool { return true }) {
			w.records[slot(r)] = r
		}
	}
	for _, o := range b.Observations {
		w.see(o)
	}
}

func (w *twin) see(o *observation.Observation) {
	if !slices.ContainsFunc(w.seen, func(p *observation.Observation) bool { return p.Hash == o.Hash }) {
		w.seen = append(w.seen, o)
	}
}

// at are the observations at a height of a chain, the first that came first.
func (w *twin) at(id observation.ChainID, height uint64) (list []*observation.Observation) {
	for _, o := range w.seen {
		if o.Header.Chain() == id && o.Header.Height == height {
			list = append(list, o)
		}
	}
	return list
}

func (w *twin) chains() []observation.ChainID {
	set := map[observation.ChainID]bool{}
	for _, o := range w.seen {
		set[o.Header.Chain()] = true
	}
	return slices.SortedFunc(maps.Keys(set), compareChain)
}

func (w *twin) heads() (heads []observation.Head) {
	for _, id := range w.chains() {
		h := observation.Head{Key: id.Key, SigningEpoch: id.SigningEpoch}
		for list := w.at(id, 1); len(list) > 0; list = w.at(id, h.Height+1) {
			h = list[0].Head()
		}
		if h.Height > 0 {
			heads = append(heads, h)
		}
	}
	return heads
}

// since are the observations that a restart counts again.
func (w *twin) since(ms uint64) (list []*observation.Observation) {
	for _, id := range w.chains() {
		var main, forks []*observation.Observation
		from := uint64(0)
		for _, o := range w.seen {
			if o.Header.Chain() != id {
				continue
			}
			if w.at(id, o.Header.Height)[0] == o {
				main = append(main, o)
				if o.Header.TimeMS < ms {
					from = max(from, o.Header.Height+1)
				}
			} else {
				forks = append(forks, o)
			}
		}
		order := func(a, b *observation.Observation) int {
			return cmp.Or(cmp.Compare(a.Header.Height, b.Header.Height), a.Hash.Compare(b.Hash))
		}
		slices.SortFunc(main, order)
		slices.SortFunc(forks, order)
		for _, o := range append(main, forks...) {
			if o.Header.Height >= from {
				list = append(list, o)
			}
		}
	}
	return list
}

// fromMemory and fromIndex are all answers that a store gives, those that need the index written by themselves.
func (w *twin) fromMemory() []func(*Store) string {
	return []func(*Store) string{w.differOutputs, w.differLog, w.differVotes, w.differChains}
}

func (w *twin) fromIndex() []func(*Store) string {
	return []func(*Store) string{w.differAddresses, w.differAddressLogs, w.differSet}
}

// differ says where the store is not what the twin is, by some of its answers; empty where they agree.
func (w *twin) differ(s *Store, ids []domain.Hash, checks []func(*Store) string) string {
	for _, check := range checks {
		if d := check(s); d != "" {
			return d
		}
	}
	for _, id := range ids {
		if d := w.differTx(s, id); d != "" {
			return d
		}
	}
	want := Counts{
		Finals: uint64(len(w.finals)), LiveOutputs: uint64(len(w.set.Live())),
		Rejected: uint64(len(w.rejected)), Pending: uint64(len(w.pending)),
	}
	if got := s.Counts(); got != want {
		return fmt.Sprintf("counts %+v, want %+v", got, want)
	}
	return ""
}

func sameEntry(a, b utxo.Entry) bool {
	return a.FinalMS == b.FinalMS && a.SpentBy == b.SpentBy && a.Output.Equal(&b.Output)
}

func (w *twin) differOutputs(s *Store) string {
	v := s.View()
	for _, e := range w.events {
		want, _ := w.set.Lookup(e.Outpoint)
		got, ok := v.Lookup(e.Outpoint)
		if !ok || !sameEntry(got, want) || v.Err() != nil {
			return fmt.Sprintf("output %s is %+v, %v, %v, want %+v", e.Outpoint, got, ok, v.Err(), want)
		}
		beyond := utxo.Outpoint{Tx: e.Outpoint.Tx, Index: e.Outpoint.Index + 1000}
		if _, ok, err := s.Lookup(beyond); ok || err != nil {
			return fmt.Sprintf("output %s exists: %v, %v", beyond, ok, err)
		}
	}
	return ""
}

func (w *twin) differAddresses(s *Store) string {
	for _, a := range owners {
		var want []Unspent
		balance := map[utxo.Product]Balance{}
		for _, o := range w.set.Live() {
			e, _ := w.set.Lookup(o)
			if e.Output.Address != a {
				continue
			}
			want = append(want, Unspent{Outpoint: o, Output: e.Output, FinalMS: e.FinalMS})
			b := balance[e.Output.Product]
			balance[e.Output.Product] = Balance{e.Output.Product, b.Amount + e.Output.Amount, b.Outputs + 1}
		}
		slices.SortStableFunc(want, func(x, y Unspent) int { return x.Output.Product.Compare(y.Output.Product) })
		var got []Unspent
		for token := []byte(nil); ; {
			page, next, err := s.Unspent(a, token, 3)
			if err != nil || len(page) > 3 || (next != nil && len(page) != 3) {
				return fmt.Sprintf("page of %d outputs, %v", len(page), err)
			}
			if got = append(got, page...); next == nil {
				break
			}
			token = next
		}
		if !slices.EqualFunc(got, want, func(x, y Unspent) bool {
			return x.Outpoint == y.Outpoint && x.FinalMS == y.FinalMS && x.Output.Equal(&y.Output)
		}) {
			return fmt.Sprintf("unspent of %s: %v, want %v", a, got, want)
		}
		balances, err := s.Balance(a, unread)
		if err != nil || len(balances) != len(balance) {
			return fmt.Sprintf("balance of %s: %v, %v, want %v", a, balances, err, balance)
		}
		for i, b := range balances {
			if b != balance[b.Product] || i > 0 && balances[i-1].Product.Compare(b.Product) >= 0 {
				return fmt.Sprintf("balance of %s: %v, want %v", a, balances, balance)
			}
		}
	}
	return ""
}

// differSet asks for the ids of all that is final.
func (w *twin) differSet(s *Store) string {
	var want []domain.Hash
	for i := range w.finals {
		want = append(want, w.finals[i].Tx.ID)
	}
	slices.SortFunc(want, domain.Hash.Compare)
	got, err := s.FinalSet().IDs(setsync.Bounds{}, len(want)+1)
	if err != nil || !slices.Equal(got, want) {
		return fmt.Sprintf("finals %v, %v, want %v", got, err, want)
	}
	return ""
}

func (w *twin) differLog(s *Store) string {
	if s.LastSeq() != uint64(len(w.finals)) {
		return fmt.Sprintf("last place %d, want %d", s.LastSeq(), len(w.finals))
	}
	for from := range uint64(len(w.finals) + 2) {
		const limit = 2
		got, err := s.FinalLog(from, limit)
		var want []LogEntry
		for seq := max(1, from); seq <= uint64(len(w.finals)) && len(want) < limit; seq++ {
			want = append(want, LogEntry{Seq: seq, Tx: w.finals[seq-1].Tx.ID})
		}
		if err != nil || !slices.EqualFunc(got, want, func(x, y LogEntry) bool { return x.Seq == y.Seq && x.Tx == y.Tx && x.Read > 0 }) {
			return fmt.Sprintf("final log from %d: %v, %v, want %v", from, got, err, want)
		}
	}
	return ""
}

func (w *twin) differAddressLogs(s *Store) string {
	for _, a := range owners {
		var got []AddressEvent
		for from := uint64(0); ; {
			page, _, err := s.AddressLog(a, from, 3)
			if err != nil {
				return err.Error()
			}
			if len(page) == 0 {
				break
			}
			got = append(got, page...)
			from = page[len(page)-1].Cursor + 1
		}
		var want []AddressEvent
		for _, e := range w.events {
			if e.address == a {
				want = append(want, e.AddressEvent)
			}
		}
		if !slices.EqualFunc(got, want, func(x, y AddressEvent) bool {
			same := x.Output.Equal(&y.Output)
			x.Output, y.Output, x.Read = utxo.Output{}, utxo.Output{}, 0
			return same && reflect.DeepEqual(x, y)
		}) {
			return fmt.Sprintf("address log of %s:\n%+v, want\n%+v", a, got, want)
		}
	}
	return ""
}

func (w *twin) differTx(s *Store, id domain.Hash) string {
	got, ok, err := s.Transaction(id)
	if err != nil {
		return err.Error()
	}
	f := w.final(id)
	i := w.rejection(id)
	_, pending := w.pending[id]
	if final, err := s.IsFinal(id); err != nil || final != (f != nil) {
		return fmt.Sprintf("transaction %s final %v, %v", id, final, err)
	}
	if want := f != nil || i >= 0 || pending; ok != want {
		return fmt.Sprintf("transaction %s known %v, want %v", id, ok, want)
	}
	if !bytes.Equal(got.Raw, w.raw[id]) {
		return fmt.Sprintf("transaction %s has %d bytes, want %d", id, len(got.Raw), len(w.raw[id]))
	}
	if got.Pending != pending || got.VotedMS != w.pending[id] || (got.Final != nil) != (f != nil) || (got.Rejection != nil) != (i >= 0) {
		return fmt.Sprintf("transaction %s is %+v", id, got)
	}
	if i >= 0 && *got.Rejection != w.rejected[i] {
		return fmt.Sprintf("transaction %s rejected as %+v, want %+v", id, *got.Rejection, w.rejected[i])
	}
	if f != nil {
		g := got.Final
		if g.FinalMS != f.FinalMS || g.Round != f.Round || g.GroupEpoch != f.GroupEpoch || g.Link != f.Link ||
			!slices.Equal(g.Edges, f.Edges) || w.finals[g.Seq-1].Tx.ID != id {
			return fmt.Sprintf("transaction %s final as %+v, want %+v", id, g, f)
		}
	}
	return ""
}

func (w *twin) differVotes(s *Store) string {
	var got []conflict.Record
	for r, err := range s.GuardRecords() {
		if err != nil {
			return err.Error()
		}
		got = append(got, r)
	}
	want := slices.SortedFunc(maps.Values(w.records), func(a, b conflict.Record) int {
		return bytes.Compare(appendVoteKey(nil, &a), appendVoteKey(nil, &b))
	})
	if !slices.Equal(got, want) {
		return fmt.Sprintf("guard records %v, want %v", got, want)
	}
	var ids []domain.Hash
	for t, err := range s.PendingTransactions() {
		if err != nil {
			return err.Error()
		}
		if t.VotedMS != w.pending[t.ID] || !bytes.Equal(t.Raw, w.raw[t.ID]) {
			return fmt.Sprintf("pending %+v", t)
		}
		ids = append(ids, t.ID)
	}
	if wantIDs := slices.SortedFunc(maps.Keys(w.pending), domain.Hash.Compare); !slices.Equal(ids, wantIDs) {
		return fmt.Sprintf("pending %v, want %v", ids, wantIDs)
	}
	return ""
}

func sameObservations(got, want []*observation.Observation) bool {
	return slices.EqualFunc(got, want, func(a, b *observation.Observation) bool { return bytes.Equal(a.Raw, b.Raw) })
}

func (w *twin) differChains(s *Store) string {
	if got := s.Heads(); !slices.Equal(got, w.heads()) {
		return fmt.Sprintf("heads %v, want %v", got, w.heads())
	}
	for _, id := range w.chains() {
		for height := range uint64(12) {
			want := w.at(id, height)
			o, ok, err := s.Observation(id, height)
			if err != nil || ok != (len(want) > 0) || ok && !bytes.Equal(o.Raw, want[0].Raw) {
				return fmt.Sprintf("observation %v/%d: %v, %v", id, height, ok, err)
			}
			var forks []*observation.Observation
			for o, err := range s.Forks(id, height) {
				if err != nil {
					return err.Error()
				}
				forks = append(forks, o)
			}
			if ok {
				want = slices.Clone(want[1:])
				slices.SortFunc(want, func(a, b *observation.Observation) int { return a.Hash.Compare(b.Hash) })
			}
			if !sameObservations(forks, want) {
				return fmt.Sprintf("%d forks at %v/%d, want %d", len(forks), id, height, len(want))
			}
		}
	}
	for _, ms := range []uint64{0, now, now + 3, now + 1000} {
		var got []*observation.Observation
		for o, err := range s.ObservationsSince(ms, 0) {
			if err != nil {
				return err.Error()
			}
			got = append(got, o)
		}
		if want := w.since(ms); !sameObservations(got, want) {
			return fmt.Sprintf("%d observations since %d, want %d", len(got), ms, len(want))
		}
	}
	return ""
}
