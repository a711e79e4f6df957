package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// storeOf is a new store of a key, in memory, that is closed when the test ends.
func (v *village) storeOf(key domain.PublicKey) *store.Store {
	v.t.Helper()
	delta, err := utxo.GenesisDelta(v.genesis)
	if err != nil {
		v.t.Fatal(err)
	}
	st, err := store.Open("village", store.Options{
		Network: v.genesis.ID, Key: key, Create: true, Genesis: delta, GenesisMS: v.genesis.Doc.TimeMs,
		InMemory: true, MemBytes: 4 << 20, CacheBytes: 1 << 20, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() {
		if err := st.Close(); err != nil {
			v.t.Error(err)
		}
	})
	return st
}

// branching is n transactions, each of which spends an output of an earlier one and makes two.
func (v *village) branching(n int) (txs []*utxo.Tx) {
	v.t.Helper()
	from := []utxo.Outpoint{{Tx: v.genesis.ID}}
	for i := range n {
		b := utxo.NewBuilder(v.genesis.ID).Spend(from[i]).Salt([]byte{byte(i)})
		for range 2 {
			b.Pay(utxo.KeyLock(kit.Key(101).Public()).Address(), utxo.Product{}, 10)
		}
		d, err := b.Build()
		if err != nil {
			v.t.Fatal(err)
		}
		tx, err := d.Sign(kit.Key(100)).Finish()
		if err != nil {
			v.t.Fatal(err)
		}
		txs = append(txs, tx)
		from = append(from, utxo.Outpoint{Tx: tx.ID}, utxo.Outpoint{Tx: tx.ID, Index: 1})
	}
	return txs
}

// commit makes a transaction final in a store, by some leaves.
func (v *village) commit(st *store.Store, tx *utxo.Tx, finalMS uint64, edges ...store.EdgeRef) {
	v.t.Helper()
	f := store.Final{Tx: tx, FinalMS: finalMS, Link: v.genesis.Group.Link(), Edges: edges}
	if err := st.CommitFinal([]store.Final{f}); err != nil {
		v.t.Fatal(err)
	}
}

// TestCutDependsOnStatements: two nodes to which the same statements came, but which made final at other times, in other
// orders and by other quorums what these prove, find the same transactions not to have been final at T.
func TestCutDependsOnStatements(t *testing.T) {
	v := newVillage(t, nil)
	txs := v.branching(8)
	const start = 1_767_225_600_000
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
		leaves := make(map[domain.Hash][]store.EdgeRef)
		var signed []*observation.Observation
		for i := range 4 {
			head := observation.Head{Key: kit.Key(i).Public()}
			for at, left := uint64(start), slices.Clone(txs); len(left) > 0; at += uint64(rng.IntN(4)) * 1000 {
				var batch []observation.Leaf
				for range 1 + rng.IntN(3) {
					if len(left) == 0 {
						break
					}
					k := rng.IntN(len(left))
					leaves[left[k].ID] = append(leaves[left[k].ID], store.EdgeRef{Key: head.Key, Height: head.Height + 1, Leaf: uint32(len(batch))})
					batch = append(batch, kit.Vote(left[k].ID, observation.Accepted, 0, at))
					left = slices.Delete(left, k, k+1)
				}
				o := observation.Seal(head, v.genesis.Group, batch, at).Sign(kit.Key(i))
				head = o.Head()
				signed = append(signed, o)
			}
		}
		at := start + uint64(rapid.IntRange(0, 16).Draw(rt, "T"))*1000
		var outs [][]domain.Hash
		var manifests []domain.Hash
		for range 2 {
			st := v.storeOf(kit.Key(50).Public())
			rng.Shuffle(len(signed), func(i, j int) { signed[i], signed[j] = signed[j], signed[i] })
			if err := st.SaveObservations(signed); err != nil {
				rt.Fatal(err)
			}
			for i, tx := range childrenLater(rng, txs) {
				quorum := slices.Clone(leaves[tx.ID])
				rng.Shuffle(len(quorum), func(i, j int) { quorum[i], quorum[j] = quorum[j], quorum[i] })
				v.commit(st, tx, start+uint64(i)*uint64(rng.IntN(3000)), quorum[:3+rng.IntN(2)]...)
			}
			s := &snapshotter{store: st, groupOf: func(h *observation.Header) (*group.Group, int) {
				voter, _ := v.genesis.Group.Voter(h.Key)
				return v.genesis.Group, voter
			}}
			f, err := st.Freeze()
			if err != nil {
				rt.Fatal(err)
			}
			out, err := s.cut(t.Context(), f, at)
			if err != nil {
				rt.Fatal(err)
			}
			m := &snapshot.Manifest{Network: v.genesis.ID, TimeMS: at}
			p := snapshot.NewPacker(snapshot.MaxPiece, func([]byte) error { return nil })
			if err := f.Records(out, p.Add); err != nil {
				rt.Fatal(err)
			}
			if m.Pieces, m.Counts, err = p.Done(); err != nil {
				rt.Fatal(err)
			}
			manifests = append(manifests, m.Hash())
			slices.SortFunc(out, domain.Hash.Compare)
			outs = append(outs, out)
			if err := f.Close(); err != nil {
				rt.Fatal(err)
			}
		}
		if !slices.Equal(outs[0], outs[1]) || manifests[0] != manifests[1] {
			rt.Fatalf("at %d: %d and %d were not final", at-start, len(outs[0]), len(outs[1]))
		}
		if at == start+16_000 && len(outs[0]) > 0 && !later(signed, at) {
			rt.Fatalf("%d were not final when all was signed", len(outs[0]))
		}
	})
}

func later(signed []*observation.Observation, at uint64) bool {
	return slices.ContainsFunc(signed, func(o *observation.Observation) bool { return o.Header.TimeMS > at })
}

// childrenLater is another order with parents before children.
func childrenLater(rng *rand.Rand, txs []*utxo.Tx) (out []*utxo.Tx) {
	left := slices.Clone(txs)
	for len(left) > 0 {
		i := rng.IntN(len(left))
		if slices.ContainsFunc(left[i].Spends(), func(o utxo.Outpoint) bool {
			return slices.ContainsFunc(left, func(tx *utxo.Tx) bool { return tx.ID == o.Tx })
		}) {
			continue
		}
		out = append(out, left[i])
		left = slices.Delete(left, i, i+1)
	}
	return out
}

// stall is a peer that has snapshots to offer, true ones or others.
type stall struct {
	newcomer
	offers gossip.Snapshots
	parts  map[domain.Hash]map[uint32][]byte
}

func (s *stall) Snapshots(context.Context) (gossip.Snapshots, error) { return s.offers, nil }

func (s *stall) Piece(_ context.Context, manifest domain.Hash, piece uint32) ([]byte, error) {
	return s.parts[manifest][piece], nil
}

// add offers a snapshot, signed by a key.
func (s *stall) add(key domain.PrivateKey, m *snapshot.Manifest, pieces [][]byte) {
	s.offers.Offers = append(s.offers.Offers, snapshot.Sign(key, m))
	if s.parts == nil {
		s.parts = make(map[domain.Hash]map[uint32][]byte)
	}
	parts := map[uint32][]byte{0: m.Encode()}
	for i, p := range pieces {
		parts[uint32(i)+1] = p
	}
	s.parts[m.Hash()] = parts
}

// fair is a snapshot of some transactions at a time, in small pieces.
func (v *village) fair(timeMS uint64, txs []*utxo.Tx) (*snapshot.Manifest, [][]byte) {
	v.t.Helper()
	st := v.storeOf(kit.Key(60).Public())
	for i, tx := range txs {
		v.commit(st, tx, timeMS+uint64(i))
	}
	f, err := st.Freeze()
	if err != nil {
		v.t.Fatal(err)
	}
	var pieces [][]byte
	p := snapshot.NewPacker(700, func(b []byte) error { pieces = append(pieces, bytes.Clone(b)); return nil })
	m := &snapshot.Manifest{Network: v.genesis.ID, Link: v.genesis.Group.Link(), TimeMS: timeMS}
	if err := errors.Join(f.Records(nil, p.Add), f.Close()); err != nil {
		v.t.Fatal(err)
	}
	if m.Pieces, m.Counts, err = p.Done(); err != nil {
		v.t.Fatal(err)
	}
	return m, pieces
}

// join runs Join for a new key against some peers, which are the voters in their order. It returns the store, and how
// many answers were wrong.
func (v *village) join(t *testing.T, stalls ...*stall) (st *store.Store, began *store.Began, wrong float64, err error) {
	t.Helper()
	var backends []gossip.Backend
	for _, s := range stalls {
		backends = append(backends, s)
	}
	return v.joinAt(t, backends...)
}

// joinAt is join with peers of any kind.
func (v *village) joinAt(t *testing.T, backends ...gossip.Backend) (st *store.Store, began *store.Began, wrong float64, err error) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	config := func(key domain.PrivateKey) gossip.Config {
		g := gossip.DefaultConfig(v.genesis.ID, key)
		g.Listen, g.Heartbeat, g.Memory = []string{"/ip4/127.0.0.1/tcp/0"}, 100*time.Millisecond, 64<<20
		return g
	}
	mine := config(kit.Key(50))
	for i, s := range backends {
		net, err := gossip.New(ctx, config(v.signers[i].Key), newcomer{}, gossip.NewMetrics(prometheus.NewRegistry()), log)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := net.Close(); err != nil {
				t.Error(err)
			}
		}()
		net.Serve(ctx, s, nil)
		mine.Bootstrap = append(mine.Bootstrap, net.Addrs()[0])
	}
	st = v.storeOf(kit.Key(50).Public())
	metrics := gossip.NewMetrics(prometheus.NewRegistry())
	c := DefaultConfig()
	c.JoinPatience = v.patience
	began, err = Join(ctx, c, Parts{Genesis: v.genesis, Key: kit.Key(50), Store: st, Gossip: mine, GossipMetrics: metrics, Log: log})
	return st, began, counterOf(t, metrics.Offences.WithLabelValues("wrong")), err
}

// TestJoin: a new node begins from the newest snapshot that a quorum vouches for, whatever others say; where there is none
// it stays new.
func TestJoin(t *testing.T) {
	v := newVillage(t, nil)
	txs := v.branching(30)
	old, oldPieces := v.fair(1000, txs[:20])
	young, youngPieces := v.fair(2000, txs)
	forged := *young
	forged.TimeMS, forged.Counts.Outputs = 3000, 7
	foreign := *young
	foreign.Network = domain.Hash{1}
	later := *young
	later.Link, later.Epoch, later.TimeMS = domain.Hash{7}, 3, 4000
	of := func(i int, both ...*snapshot.Manifest) *stall {
		s := new(stall)
		for _, m := range both {
			pieces := youngPieces
			if m == old {
				pieces = oldPieces
			}
			s.add(v.signers[i].Key, m, pieces)
		}
		return s
	}
	spoilt := func(i int) *stall {
		s := of(i, young, old)
		for _, parts := range s.parts {
			for n, b := range parts {
				parts[n] = bytes.Clone(b)
				parts[n][int(n)%len(b)] ^= 1
			}
		}
		return s
	}
	borrowed := of(0, young) // signed by the first, offered by the second
	for name, c := range map[string]struct {
		stalls []*stall
		want   *snapshot.Manifest
		wrong  bool
	}{
		"all offer both":              {[]*stall{of(0, young, old), of(1, young, old), of(2, young, old), of(3, young, old)}, young, false},
		"one lags":                    {[]*stall{of(0, young, old), of(1, young, old), of(2, old), of(3, old)}, old, false},
		"half of the weight":          {[]*stall{of(0, young), of(1, young), {}, {}}, nil, false},
		"a liar's own, newer":         {[]*stall{of(0, &forged, young), of(1, young), of(2, young), of(3, young)}, young, false},
		"spoilt parts":                {[]*stall{spoilt(0), of(1, young, old), of(2, young, old), {}}, young, true}, // no quorum without who spoils them
		"another's word":              {[]*stall{of(0, young), borrowed, of(2, young), {}}, nil, true},
		"another network":             {[]*stall{of(0, &foreign), of(1, &foreign), of(2, &foreign), of(3, &foreign)}, nil, true},
		"a group that nobody proves":  {[]*stall{of(0, &later), of(1, &later), of(2, &later), of(3, &later)}, nil, false},
		"nobody offers any":           {[]*stall{{}, {}, {}, {}}, nil, false},
		"all differ":                  {[]*stall{of(0, young), of(1, old), of(2, &forged), {}}, nil, false},
		"the last one does not speak": {[]*stall{of(0, young), of(1, young), of(2, young)}, young, false},
	} {
		t.Run(name, func(t *testing.T) {
			u := *v
			u.t = t
			if c.wrong && c.want == nil {
				u.patience = 4 * time.Second // who answers wrongly is asked again until it is over
			}
			st, began, wrong, err := u.join(t, c.stalls...)
			if err != nil {
				t.Fatal(err)
			}
			if c.wrong != (wrong > 0) {
				t.Errorf("%v wrong answers", wrong)
			}
			if c.want == nil {
				if began != nil || !st.Fresh() {
					t.Errorf("began with %+v", began)
				}
				return
			}
			if began == nil || began.Manifest != c.want.Hash() || !group.Quorum(began.Weight) {
				t.Fatalf("began with %+v, want the snapshot of %d", began, c.want.TimeMS)
			}
			for i, tx := range txs {
				final, err := st.IsFinal(tx.ID)
				if err != nil || final != (uint64(i) < c.want.Counts.Finals) {
					t.Errorf("transaction %d is final: %v, %v", i, final, err)
				}
			}
			before, err := newBefore(st)
			if err != nil || !before.holds(txs[0].ID) || before.holds(domain.Hash{1}) {
				t.Errorf("what was final before is not known: %v", err)
			}
		})
	}
}

// TestJoinGivesUp: where a quorum vouches for what no node could hold, or nobody has the pieces that it vouches for, the
// store is as new as before, and the error says why.
func TestJoinGivesUp(t *testing.T) {
	v := newVillage(t, nil)
	txs := v.branching(6)
	young, pieces := v.fair(2000, txs)
	orphan := bytes.Clone(pieces[0])
	last := append([]byte{byte(snapshot.Output)}, bytes.Repeat([]byte{0xff}, 36)...)
	nonsense := *young
	nonsense.Pieces = []domain.Hash{snapshot.HashPiece(orphan), snapshot.HashPiece(append(last, 0))}
	short := *young
	short.Pieces = young.Pieces[:1]
	for name, c := range map[string]struct {
		m      *snapshot.Manifest
		pieces [][]byte
		want   error
	}{
		"an output of nothing": {&nonsense, [][]byte{orphan, append(last, 0)}, snapshot.ErrPiece},
		"less than is counted": {&short, pieces[:1], snapshot.ErrPiece},
		"pieces that are gone": {young, pieces[:1], gossip.ErrMissing},
	} {
		t.Run(name, func(t *testing.T) {
			u := *v
			u.t = t
			var stalls []*stall
			for i := range 4 {
				s := new(stall)
				s.add(v.signers[i].Key, c.m, c.pieces)
				stalls = append(stalls, s)
			}
			st, began, _, err := u.join(t, stalls...)
			if !errors.Is(err, c.want) || began != nil || !st.Fresh() {
				t.Errorf("began with %+v: %v", began, err)
			}
			v.commit(st, txs[0], 1) // it lives without
		})
	}
}

// ledger is a stall that hands out some transactions.
type ledger struct {
	*stall
	has []*utxo.Tx
}

// Transactions implements gossip.Backend.
func (l ledger) Transactions(_ context.Context, ids []domain.Hash, _ bool, add func(raw, proof []byte) bool) error {
	for _, tx := range l.has {
		if slices.Contains(ids, tx.ID) && !add(tx.Raw, nil) {
			return nil
		}
	}
	return nil
}

// TestJoinWantsMetadataAlone: of what the metadata of peers spends a new node wants the versions before it, all of them,
// and not what paid the fee: where all began from snapshots themselves nobody has that.
func TestJoinWantsMetadataAlone(t *testing.T) {
	v := newVillage(t, nil)
	master := kit.Key(90)
	coins := v.branching(3)
	from := utxo.Origin(group.PeerID(master.Public()))
	var versions []*utxo.Tx
	for version := range uint64(3) {
		o, err := utxo.PeerOutput(&group.Peer{
			ID: group.PeerID(master.Public()), Master: master.Public(), Version: version + 1,
			Nonce: group.FindWork(v.genesis.ID, master.Public(), utxo.RulesOf(v.genesis).WorkBits),
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := utxo.NewBuilder(v.genesis.ID).Spend(from).Spend(utxo.Outpoint{Tx: coins[2].ID, Index: uint32(version % 2)}).Output(o).Build()
		if version == 2 {
			d, err = utxo.NewBuilder(v.genesis.ID).Spend(from).Output(o).Build()
		}
		if err != nil {
			t.Fatal(err)
		}
		tx, err := d.Sign(master, kit.Key(101)).Finish()
		if version == 2 {
			tx, err = d.Finish()
		}
		if err != nil {
			t.Fatal(err)
		}
		versions, from = append(versions, tx), tx.PeerOutpoint()
	}
	m, pieces := v.fair(2000, slices.Concat(coins, versions))
	for name, c := range map[string]struct {
		has  []*utxo.Tx
		want bool
	}{
		"all versions":       {versions, true},
		"not the second one": {[]*utxo.Tx{versions[0], versions[2]}, false},
		"not the first one":  {versions[1:], false},
		"not the newest":     {versions[:2], false},
		"all there ever was": {slices.Concat(coins, versions), true},
	} {
		t.Run(name, func(t *testing.T) {
			u := *v
			u.t = t
			var backends []gossip.Backend
			for i := range 4 {
				s := new(stall)
				s.add(v.signers[i].Key, m, pieces)
				backends = append(backends, ledger{s, c.has})
			}
			st, began, _, err := u.joinAt(t, backends...)
			if (err == nil) != c.want || (began != nil) != c.want {
				t.Fatalf("began with %+v: %v", began, err)
			}
			if !c.want {
				if !errors.Is(err, gossip.ErrMissing) || !st.Fresh() {
					t.Errorf("%v", err)
				}
				return
			}
			for _, tx := range versions {
				if kept, found, err := st.Transaction(tx.ID); err != nil || !found || kept.Raw == nil {
					t.Errorf("version %d is not kept: %v", tx.Peer.Version, err)
				}
			}
		})
	}
}

// TestJoinIsForNewNodes: nobody is asked where the store is in use, where it is not wanted, and where nothing is final
// without this node.
func TestJoinIsForNewNodes(t *testing.T) {
	v := newVillage(t, nil)
	used := v.storeOf(kit.Key(50).Public())
	v.commit(used, v.branching(1)[0], 1)
	c := DefaultConfig()
	if began, err := Join(t.Context(), c, Parts{Genesis: v.genesis, Key: kit.Key(50), Store: v.storeOf(kit.Key(50).Public())}); began != nil || err != nil {
		t.Errorf("not wanted: %+v, %v", began, err)
	}
	c.JoinPatience = time.Hour
	if began, err := Join(t.Context(), c, Parts{Genesis: v.genesis, Key: kit.Key(50), Store: used}); began != nil || err != nil {
		t.Errorf("in use: %+v, %v", began, err)
	}
}

// TestGroupVouchesForItsTime: once it is proven that another link followed, a group is believed about times before that
// alone.
func TestGroupVouchesForItsTime(t *testing.T) {
	v := newVillage(t, nil)
	first := v.genesis.Group
	second, err := group.New(v.genesis.ID, 1, first.Link(), first.Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	link := &proven{tx: &utxo.Tx{Link: second}, proof: &observation.Proof{Observations: []observation.ProofObservation{{TimeMS: 50}, {TimeMS: 70}, {TimeMS: 60}}}}
	j := &joiner{groups: map[domain.Hash]*group.Group{first.Link(): first, second.Link(): second}}
	if j.groupAt(first.Link(), 1000) != first {
		t.Error("the only group that is known is not believed")
	}
	j.chain = []*proven{link}
	for at, want := range map[uint64]*group.Group{69: first, 70: nil, 1000: nil} {
		if got := j.groupAt(first.Link(), at); got != want {
			t.Errorf("the first group at %d: %v", at, got)
		}
	}
	if j.groupAt(second.Link(), 1000) != second || j.groupAt(domain.Hash{1}, 1) != nil {
		t.Error("the newest group is not believed, or one that nobody proved is")
	}
}
