package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// What contradicts itself or what is stored is refused with its kind, and nothing of its batch is written.
func TestCommitFinalRefuses(t *testing.T) {
	s := openTest(t)
	first := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 4), payment(owners[1], 6))
	if err := s.CommitFinal([]Final{finalOf(first, now)}); err != nil {
		t.Fatal(err)
	}
	good := finalOf(makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(1)}, payment(owners[0], 10)), now)
	change := func(f func(*Final)) Final {
		x := finalOf(makeTx(t, 3, []utxo.Outpoint{genesisOutpoint(2)}, payment(owners[0], 10)), now)
		f(&x)
		return x
	}
	rival := makeTx(t, 4, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[2], 10))
	for name, c := range map[string]struct {
		bad  Final
		want error
	}{
		"again":                {finalOf(first, now), ErrAlreadyFinal},
		"a rival":              {finalOf(rival, now), ErrNotLive},
		"a rival in the batch": {finalOf(makeTx(t, 5, []utxo.Outpoint{genesisOutpoint(1)}, payment(owners[2], 1)), now), ErrNotLive},
		"the same twice":       {good, ErrAlreadyFinal},
		"never created":        {finalOf(makeTx(t, 6, []utxo.Outpoint{{Tx: gold}}, payment(owners[2], 1)), now), ErrNotLive},
		"no transaction":       {Final{}, ErrInconsistent},
		"nothing spent":        {change(func(f *Final) { f.Tx = &utxo.Tx{ID: f.Tx.ID, Raw: f.Tx.Raw} }), ErrInconsistent},
		"no bytes":             {change(func(f *Final) { tx := *f.Tx; tx.Raw = nil; f.Tx = &tx }), ErrInconsistent},
		"a final rival":        {change(func(f *Final) { f.Rivals = []Rejected{{Rejection: Rejection{Tx: first.ID}}} }), ErrInconsistent},
		"rejecting itself":     {change(func(f *Final) { f.Rivals = []Rejected{{Rejection: Rejection{Tx: f.Tx.ID}}} }), ErrInconsistent},
		"rejecting the batch":  {change(func(f *Final) { f.Rivals = []Rejected{{Rejection: Rejection{Tx: good.Tx.ID}}} }), ErrInconsistent},
	} {
		before := dump(t, s)
		err := s.CommitFinal([]Final{good, c.bad})
		if !errors.Is(err, c.want) || errors.Is(err, ErrStoreFailed) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
		if dump(t, s) != before {
			t.Errorf("%s: something was written", name)
		}
	}
	var notLive *NotLiveError
	err := s.CommitFinal([]Final{finalOf(rival, now)})
	if !errors.As(err, &notLive) || *notLive != (NotLiveError{Tx: rival.ID, Outpoint: genesisOutpoint(0), SpentBy: first.ID}) {
		t.Errorf("the rival is told %v", err)
	}
	if err := s.CommitFinal([]Final{good}); err != nil {
		t.Errorf("after all refusals: %v", err)
	}
	if err := s.CommitFinal(nil); err != nil {
		t.Errorf("nothing to commit: %v", err)
	}
}

// A product is called what its issuer calls it, and nobody else can change that.
func TestProductInfo(t *testing.T) {
	s := openTest(t)
	describe := func(p utxo.Product, payload string) utxo.Output {
		return utxo.Output{
			Kind: notaryv1.OutputKind_OUTPUT_KIND_DATA, Address: owners[0], Product: p, Amount: 7,
			Data: &utxo.Data{Kind: notaryv1.DataKind_DATA_KIND_PRODUCT_INFO, Payload: []byte(payload)},
		}
	}
	silver := utxo.ProductID(genesisOutpoint(0))
	issue := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, describe(silver, "\x0a\x06silver"), payment(owners[0], 10))
	if err := s.CommitFinal([]Final{finalOf(issue, now)}); err != nil {
		t.Fatal(err)
	}
	info, ok, err := s.ProductInfo(silver)
	if err != nil || !ok || info.GetName() != "silver" {
		t.Errorf("silver is %v, %v, %v", info, ok, err)
	}
	if _, ok, err := s.ProductInfo(domain.Hash{1}); ok || err != nil {
		t.Errorf("an unknown product: %v, %v", ok, err)
	}
	balances, err := s.Balance(owners[0], unread)
	i := slices.IndexFunc(balances, func(b Balance) bool { return b.Product == silver })
	if err != nil || i < 0 || balances[i] != (Balance{silver, 7, 1}) || !balances[0].Product.IsZero() {
		t.Errorf("balances %v, %v", balances, err)
	}
}

// The locks of a rejected transaction are released in the batch of its rival; its votes stay, also those
// on outpoints that are spent now.
func TestRivalsInTheSameBatch(t *testing.T) {
	s := openTest(t)
	winner := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 10))
	loser := makeTx(t, 2, []utxo.Outpoint{genesisOutpoint(0), genesisOutpoint(1)}, payment(owners[1], 20))
	guard := conflict.NewGuard()
	v := conflict.OwnVote{Tx: loser.ID, Spends: loser.Spends(), State: observation.Pending}
	records := guard.Record(v)
	v.State, v.Certificate = observation.Accepted, conflict.CertAt(0, 0)
	records = append(records, guard.Record(v)...)
	if err := s.SaveVotes(VoteBatch{
		Records: records, Transactions: []*utxo.Tx{loser}, Observations: []*observation.Observation{seal(own, observation.Head{}, now)},
	}); err != nil {
		t.Fatal(err)
	}
	f := finalOf(winner, now)
	f.Rivals = []Rejected{{
		Rejection: Rejection{Tx: loser.ID, Rival: winner.ID, Reason: notaryv1.Reason_REASON_DOUBLE_SPEND},
		Released:  guard.Reject(loser.ID, loser.Spends()),
	}}
	if err := s.CommitFinal([]Final{f}); err != nil {
		t.Fatal(err)
	}
	kept := collect(t, s.GuardRecords())
	if len(kept) != 4 || kept[0].Outpoint != genesisOutpoint(0) || kept[3].Outpoint != genesisOutpoint(1) || !kept[1].Released || !kept[3].Released {
		t.Errorf("guard records %+v", kept)
	}
	again := conflict.NewGuard()
	again.Restore(kept)
	// The winner goes on being supported, but not where the rival had this node's vote.
	support := conflict.OwnVote{Tx: winner.ID, Spends: winner.Spends(), State: observation.Pending}
	if err := again.Check(support); !errors.Is(err, conflict.ErrRoundTaken) {
		t.Errorf("the winner in the loser's round after a restart: %v", err)
	}
	if support.Round = 1; again.Check(support) != nil {
		t.Errorf("the winner in round 1 after a restart: %v", again.Check(support))
	}
	next := conflict.OwnVote{Tx: domain.Hash{9}, Spends: []utxo.Outpoint{genesisOutpoint(1)}, State: observation.Pending}
	if err := again.Check(next); !errors.Is(err, conflict.ErrRoundTaken) {
		t.Errorf("round 0 after a restart: %v", err)
	}
	if next.Round = 1; again.Check(next) != nil {
		t.Errorf("round 1 after a restart: %v", again.Check(next))
	}
	got, ok, err := s.Transaction(loser.ID)
	if err != nil || !ok || got.Rejection == nil || got.Rejection.Rival != winner.ID || got.Pending || got.Raw == nil {
		t.Errorf("the loser is %+v, %v", got, err)
	}
}

// Texts for people are cut, not refused, and stay valid UTF-8.
func TestLongRejections(t *testing.T) {
	s := openTest(t)
	long := ""
	for range 200 {
		long += "ü"
	}
	if err := s.Reject([]Rejected{{Rejection: Rejection{Tx: gold, Detail: "x" + long, Field: "\xff" + long}}}); err != nil {
		t.Fatal(err)
	}
	got, ok, err := s.Transaction(gold)
	if err != nil || !ok || got.Rejection == nil {
		t.Fatalf("%+v, %v", got, err)
	}
	if r := got.Rejection; len(r.Detail) != 255 || len(r.Field) != 254 || r.Detail[:3] != "xü" {
		t.Errorf("detail of %d bytes, field of %d", len(r.Detail), len(r.Field))
	}
}

// Finals, votes, observations and readers at once: every final has its own place, and nobody sees a
// place before it is on disk.
func TestConcurrentCalls(t *testing.T) {
	const writers, each = 4, 20
	s := openTest(t, func(o *Options) { o.Genesis = genesis(writers * each) })
	var wg sync.WaitGroup
	errs := make(chan error, 64)
	report := func(format string, args ...any) {
		select {
		case errs <- fmt.Errorf(format, args...):
		default:
		}
	}
	stop := make(chan struct{})
	for w := range writers {
		var finals []Final
		for i := range each {
			finals = append(finals, finalOf(makeTx(t, uint64(w*each+i), []utxo.Outpoint{genesisOutpoint(w*each + i)}, payment(owners[w%3], 10)), now))
		}
		wg.Go(func() {
			for i := range finals {
				if err := s.CommitFinal(finals[i : i+1]); err != nil {
					report("final: %v", err)
				}
				if s.LastSeq() == 0 {
					report("a final that returned is not in the log")
				}
			}
		})
	}
	wg.Go(func() {
		head := observation.Head{}
		for range each {
			o := seal(own, head, now)
			head = o.Head()
			if err := s.SaveVotes(VoteBatch{Observations: []*observation.Observation{o}}); err != nil {
				report("votes: %v", err)
			}
		}
	})
	wg.Go(func() {
		head := observation.Head{}
		for range each {
			o := seal(peers[0], head, now)
			head = o.Head()
			if err := s.SaveObservations([]*observation.Observation{o}); err != nil {
				report("observations: %v", err)
			}
		}
	})
	var readers sync.WaitGroup
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			last := s.LastSeq()
			list, err := s.FinalLog(1, 1000)
			if err != nil || uint64(len(list)) < last {
				report("log of %d places, %d were there: %v", len(list), last, err)
			}
			for _, a := range owners {
				if _, _, err := s.Unspent(a, nil, 1000); err != nil {
					report("unspent: %v", err)
				}
				if _, _, err := s.AddressLog(a, 0, 1000); err != nil {
					report("address log: %v", err)
				}
			}
		}
	})
	wg.Wait()
	close(stop)
	readers.Wait()
	close(errs)
	for err := range errs {
		t.Error(err)
	}
	list, err := s.FinalLog(1, 1000)
	if err != nil || len(list) != writers*each {
		t.Fatalf("%d places, %v", len(list), err)
	}
	seen := map[domain.Hash]bool{}
	for i, e := range list {
		if e.Seq != uint64(i+1) || seen[e.Tx] {
			t.Errorf("place %d is %+v", i+1, e)
		}
		seen[e.Tx] = true
	}
}

// Close waits for a call in progress; calls after it, also from within an iterator, are ErrClosed.
func TestCloseWaits(t *testing.T) {
	s := mustOpen(t, testOptions(nil).inMemory())
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	vote(t, s, observation.Pending, 0, makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[0], 1)))
	wg.Go(func() {
		for _, err := range s.GuardRecords() {
			if err != nil {
				t.Error(err)
			}
			close(inside)
			<-leave
		}
	})
	<-inside
	closed := make(chan error, 1)
	wg.Go(func() { closed <- s.Close() })
	// Once new calls are refused, Close has begun; it must not be done before the iterator is.
	for {
		if _, _, err := s.Lookup(genesisOutpoint(0)); errors.Is(err, ErrClosed) {
			break
		}
	}
	select {
	case err := <-closed:
		t.Fatalf("closed under an iterator: %v", err)
	default:
	}
	close(leave)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	wg.Wait()
	for _, err := range s.PendingTransactions() {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("iterating a closed store: %v", err)
		}
	}
	if err := s.CommitFinal([]Final{{}}); !errors.Is(err, ErrClosed) {
		t.Errorf("committing to a closed store: %v", err)
	}
}

func (o Options) inMemory() Options {
	o.InMemory = true
	return o
}

// TestOriginOfPeer: the first version of a peer spends an outpoint that nobody made, once; the store then
// knows it as spent, after a restart too.
func TestOriginOfPeer(t *testing.T) {
	o := testOptions(vfs.NewMem())
	s := mustOpen(t, o)
	defer func() { mustClose(t, s) }()
	first := func(salt uint64) *utxo.Tx {
		output, err := utxo.PeerOutput(&group.Peer{Master: owner.Public(), Version: 1})
		if err != nil {
			t.Fatal(err)
		}
		return makeTx(t, salt, []utxo.Outpoint{utxo.Origin(group.PeerID(owner.Public()))}, output)
	}
	tx, rival := first(1), first(2)
	origin := utxo.Origin(group.PeerID(owner.Public()))
	if _, known, err := s.Lookup(origin); known || err != nil {
		t.Fatalf("known before it is spent: %v", err)
	}
	live := s.Counts().LiveOutputs
	if err := s.CommitFinal([]Final{finalOf(tx, now), finalOf(rival, now)}); !errors.Is(err, ErrNotLive) {
		t.Fatalf("two first versions in one batch: %v", err)
	}
	if err := s.CommitFinal([]Final{finalOf(tx, now)}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e, known, err := s.Lookup(origin)
		if err != nil || !known || e.SpentBy != tx.ID || e.Output.Address != utxo.KeyLock(owner.Public()).Address() {
			t.Fatalf("%+v, %v, %v", e, known, err)
		}
		if err := s.CommitFinal([]Final{finalOf(rival, now)}); !errors.Is(err, ErrNotLive) {
			t.Fatalf("a second first version: %v", err)
		}
		if err := s.CommitFinal([]Final{finalOf(tx, now)}); !errors.Is(err, ErrAlreadyFinal) {
			t.Fatalf("the same again: %v", err)
		}
		if got := s.Counts().LiveOutputs; got != live+1 {
			t.Errorf("%d live outputs, want %d", got, live+1)
		}
		m, ok, err := s.PeerMetadata(group.PeerID(owner.Public()))
		if err != nil || !ok || m.Outpoint != (utxo.Outpoint{Tx: tx.ID}) || m.Peer.Version != 1 {
			t.Errorf("metadata %+v, %v, %v", m, ok, err)
		}
		mustClose(t, s)
		s = mustOpen(t, o)
	}
	second, err := utxo.PeerOutput(&group.Peer{Master: owner.Public(), Version: 2})
	if err != nil {
		t.Fatal(err)
	}
	next := makeTx(t, 3, []utxo.Outpoint{{Tx: tx.ID}, genesisOutpoint(0)}, payment(owners[0], 10), second)
	if err := s.CommitFinal([]Final{finalOf(next, now)}); err != nil {
		t.Fatal(err)
	}
	if m, ok, err := s.PeerMetadata(group.PeerID(owner.Public())); err != nil || !ok || m.Outpoint != (utxo.Outpoint{Tx: next.ID, Index: 1}) || m.Peer.Version != 2 {
		t.Errorf("metadata %+v, %v, %v", m, ok, err)
	}
	if _, ok, err := s.PeerMetadata(domain.Hash{1}); ok || err != nil {
		t.Errorf("metadata of nobody: %v", err)
	}
}
