package node

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of what is asked for votes, and told of finality.
const (
	needQueue    = 1024
	needsAtOnce  = 8
	needPatience = 2 * time.Second // contests ask again, of somebody else
	// hintsPerPeer bounds the hints of one peer that wait for their turn. Each peer's are followed up one
	// after the other, so that a slow liar delays nobody's but its own.
	hintsPerPeer = 16
	handQueue    = 1024
	handsAtOnce  = 4
	handPatience = 2 * time.Second
	// handAgain is how long to wait for a final transaction to reach the disk before telling of it, at
	// most handTries times.
	handAgain = 200 * time.Millisecond
	handTries = 10
)

// votesWanted are votes that are missing here, and who says that they exist.
type votesWanted struct {
	gossip.Votes
	from domain.PublicKey
}

// proofWanted is a voter to be told that a transaction is final.
type proofWanted struct {
	conflict.SendProof
	tries int
}

// voteFetcher pulls the votes that contests miss from those who must have them, and follows up hints that a
// transaction is final elsewhere. It also gives such hints.
type voteFetcher struct {
	needs chan votesWanted
	hands chan proofWanted
	log   *slog.Logger

	// candidates are whom to ask, those named first; pull asks them, and reports whether what was
	// missing has come; tell hints at what is final here, and reports whether it is; want asks for a
	// transaction. undecided reports whether a transaction still awaits its votes.
	candidates func(named []domain.PublicKey) []domain.PublicKey
	pull       func(ctx context.Context, from []domain.PublicKey, v gossip.Votes) (complete bool, err error)
	tell       func(ctx context.Context, tx domain.Hash, to domain.PublicKey) (final bool, err error)
	want       func(tx domain.Hash, from domain.PublicKey)
	undecided  func(tx domain.Hash) bool
	later      func(d time.Duration, do func())

	mu      sync.Mutex
	asked   map[gossip.Votes]bool
	hinted  map[domain.PublicKey][]gossip.FinalHint // of those that are being followed up
	ctx     context.Context                         // of run, under which hints are followed up; nil outside
	running sync.WaitGroup
}

func newVoteFetcher(log *slog.Logger) *voteFetcher {
	return &voteFetcher{
		needs: make(chan votesWanted, needQueue), hands: make(chan proofWanted, handQueue), log: log,
		asked: make(map[gossip.Votes]bool), hinted: make(map[domain.PublicKey][]gossip.FinalHint),
	}
}

// wireVotes connects the fetcher of votes to what it asks and tells.
func (sh *shell) wireVotes() {
	f := newVoteFetcher(sh.log)
	f.candidates, f.pull, f.tell = sh.fetcher.candidates, sh.pullVotes, sh.tellFinal
	f.want = func(tx domain.Hash, from domain.PublicKey) {
		sh.fetcher.want(wanted{id: tx, from: []domain.PublicKey{from}})
	}
	f.undecided, f.later = sh.undecided, sh.alarms.after
	sh.votes = f
}

// need asks for a certificate. It never blocks, and drops what there is no room for: the contest asks again.
func (f *voteFetcher) need(e conflict.NeedCertificate) {
	v := gossip.Votes{Tx: e.Tx, Round: e.Round, Link: e.Group.Link(), State: notaryv1.VoteState_VOTE_STATE_PENDING}
	if !f.claim(v) {
		return
	}
	select {
	case f.needs <- votesWanted{v, e.From}:
	default:
		f.disclaim(v)
	}
}

// hand tells a voter that a transaction is final here. It never blocks; what there is no room for is
// dropped, since the voter's next vote brings it up again.
func (f *voteFetcher) hand(e conflict.SendProof) { f.handOver(proofWanted{SendProof: e}) }

func (f *voteFetcher) handOver(w proofWanted) {
	select {
	case f.hands <- w:
	default:
	}
}

// claim marks votes as being asked for; false where they are already.
func (f *voteFetcher) claim(v gossip.Votes) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked[v] {
		return false
	}
	f.asked[v] = true
	return true
}

func (f *voteFetcher) disclaim(v gossip.Votes) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.asked, v)
}

// hint takes the word of a voter that a transaction is final. False says that it has told too much at once.
// Hints of several voters at one transaction are all followed up, for any of them may lie; once one was true
// the others cost no question.
func (f *voteFetcher) hint(from domain.PublicKey, h gossip.FinalHint) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	queue, running := f.hinted[from]
	if slices.Contains(queue, h) {
		return true
	}
	if f.ctx == nil || len(queue) >= hintsPerPeer {
		return false
	}
	f.hinted[from] = append(queue, h)
	if !running {
		ctx := f.ctx
		f.running.Go(func() { f.follow(ctx, from) })
	}
	return true
}

// follow works through the hints of one peer until there are no more.
func (f *voteFetcher) follow(ctx context.Context, from domain.PublicKey) {
	for {
		f.mu.Lock()
		queue := f.hinted[from]
		if len(queue) == 0 || ctx.Err() != nil {
			delete(f.hinted, from)
			f.mu.Unlock()
			return
		}
		f.hinted[from] = queue[1:]
		f.mu.Unlock()
		f.check(ctx, from, queue[0])
	}
}

// check pulls the votes that a hint speaks of from the one who gave it, and from nobody else: a lie costs
// one question to the liar. A transaction that is not known here is asked for only once a quorum
// has signed that it accepts it.
func (f *voteFetcher) check(ctx context.Context, from domain.PublicKey, h gossip.FinalHint) {
	if !f.undecided(h.Tx) {
		return
	}
	v := gossip.Votes{Tx: h.Tx, Round: h.Round, Link: h.Link, State: notaryv1.VoteState_VOTE_STATE_ACCEPTED}
	complete, err := f.pull(ctx, []domain.PublicKey{from}, v)
	if !complete {
		f.log.Debug("a hint of finality without the votes", "tx", h.Tx, "from", from, "err", err)
		return
	}
	f.want(h.Tx, from)
	// Contests count by certificates too; where the votes are gone it does without.
	v.State = notaryv1.VoteState_VOTE_STATE_PENDING
	if _, err := f.pull(ctx, []domain.PublicKey{from}, v); err != nil && ctx.Err() == nil {
		f.log.Debug("no certificate behind what is final", "tx", h.Tx, "from", from, "err", err)
	}
}

func (f *voteFetcher) run(ctx context.Context) {
	f.mu.Lock()
	f.ctx = ctx
	f.mu.Unlock()
	for range needsAtOnce {
		f.running.Go(func() { f.pullNeeds(ctx) })
	}
	for range handsAtOnce {
		f.running.Go(func() { f.tellHands(ctx) })
	}
	<-ctx.Done()
	f.mu.Lock()
	f.ctx = nil // no more hints from here on
	f.mu.Unlock()
	f.running.Wait()
}

func (f *voteFetcher) pullNeeds(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-f.needs:
			attempt, cancel := context.WithTimeout(ctx, needPatience)
			complete, err := f.pull(attempt, f.candidates([]domain.PublicKey{w.from}), w.Votes)
			cancel()
			f.disclaim(w.Votes)
			if !complete {
				f.log.Debug("certificate not found", "tx", w.Tx, "round", w.Round, "signer", w.from, "err", err)
			}
		}
	}
}

func (f *voteFetcher) tellHands(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-f.hands:
			attempt, cancel := context.WithTimeout(ctx, handPatience)
			final, err := f.tell(attempt, w.Tx, w.To)
			cancel()
			switch w.tries++; {
			case err != nil:
				f.log.Debug("voter not told that a transaction is final", "tx", w.Tx, "to", w.To, "err", err)
			case !final && w.tries < handTries:
				f.later(handAgain, func() { f.handOver(w) })
			}
		}
	}
}

// hinted takes hints of finality from the network. Only voters of this group are listened to: nobody else
// has a reason to give them.
func (sh *shell) hinted(from domain.PublicKey, h gossip.FinalHint) bool {
	g := sh.lineage.known(h.Link)
	if g == nil {
		return false
	}
	if _, ok := g.Voter(from); !ok {
		if _, ok = sh.group().Voter(from); !ok {
			return false
		}
	}
	return sh.votes.hint(from, h)
}

// undecided reports whether a transaction is not final here.
func (sh *shell) undecided(tx domain.Hash) bool {
	final, err := sh.store.IsFinal(tx)
	if err != nil {
		sh.fail(err)
	}
	return !final && err == nil
}

// tellFinal hints a voter at a transaction that is final here; false while it is not on disk.
func (sh *shell) tellFinal(ctx context.Context, tx domain.Hash, to domain.PublicKey) (bool, error) {
	t, found, err := sh.store.Transaction(tx)
	if err != nil {
		sh.fail(err)
		return false, err
	}
	if !found || t.Final == nil {
		return false, nil
	}
	return true, sh.net.Hint(ctx, to, gossip.FinalHint{Tx: tx, Round: t.Final.Round, Link: t.Final.Link})
}

// pullVotes asks peers for votes, until they are a quorum together with those counted here, and counts what
// came.
func (sh *shell) pullVotes(ctx context.Context, from []domain.PublicKey, v gossip.Votes) (complete bool, err error) {
	g := sh.lineage.known(v.Link)
	if g == nil {
		return false, refusal.New(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "link", "votes under a link that is not known here")
	}
	counted, err := sh.counting.votes(ctx, v.Tx)
	if err != nil {
		return false, err
	}
	voted := make(map[domain.PublicKey]bool)
	var weight group.Weight
	add := func(key domain.PublicKey) {
		if !voted[key] {
			voted[key] = true
			weight += g.Share(key)
		}
	}
	for _, vote := range counted {
		if vote.State == observation.State(v.State) && vote.Round == v.Round && vote.Group.Link() == v.Link {
			add(vote.Key())
		}
	}
	if group.Quorum(weight) {
		return true, nil
	}
	var came []*observation.Observation
	_, err = sh.net.PullVotes(ctx, from, v, func(raw []byte) (domain.PublicKey, bool, error) {
		o, err := sh.pulledVote(raw, v)
		if err != nil {
			return domain.PublicKey{}, false, err
		}
		if !slices.ContainsFunc(came, func(c *observation.Observation) bool { return c.Hash == o.Hash }) {
			came = append(came, o)
		}
		add(o.Header.Key)
		return o.Header.Key, group.Quorum(weight), nil
	})
	if failed := sh.keep(ctx, came, v.Tx); failed != nil {
		return false, failed
	}
	return group.Quorum(weight), err
}

// pulledVote reads an observation that a peer sent as one that holds certain votes. The bytes are copied:
// those of the answer hold many.
func (sh *shell) pulledVote(raw []byte, v gossip.Votes) (*observation.Observation, error) {
	o, err := observation.Decode(bytes.Clone(raw), sh.obsRules)
	if err != nil {
		return nil, err
	}
	if err := sh.weighs(o); err != nil {
		return nil, err
	}
	if o.Header.Link != v.Link || leafOf(o, v) < 0 {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "leaves", "not the vote that was asked for")
	}
	if check := o.Check(); !check.Verify() {
		return nil, refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "observation %d of %s", o.Header.Height, o.Header.Key)
	}
	return o, nil
}

// weighs refuses an observation whose votes count under no link that is final here.
func (sh *shell) weighs(o *observation.Observation) error {
	if g, _ := sh.groupOf(&o.Header); g == nil {
		return refusal.New(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "header.node_key", "%s carries no weight in this epoch", o.Header.Key)
	}
	return nil
}

// leafOf is the position of a vote in an observation, or -1.
func leafOf(o *observation.Observation, v gossip.Votes) int {
	for i := range o.Len() {
		if l := o.Leaf(i); l.Subject == v.Tx && l.Type == observation.SubjectTx &&
			l.State == observation.State(v.State) && l.Round == v.Round {
			return i
		}
	}
	return -1
}

// keep stores checked observations of others and counts their votes on one transaction, whether they are
// new, known, forks, or so old that the observer would not look at them: the tally may have
// forgotten what the store still holds. The observer is offered them too, for all else that they say.
func (sh *shell) keep(ctx context.Context, list []*observation.Observation, tx domain.Hash) error {
	others := make([]*observation.Observation, 0, len(list))
	for _, o := range list {
		if !sh.signs(o.Header.Chain()) {
			others = append(others, o)
		} else if err := sh.recognise(ctx, o); err != nil {
			return err
		}
	}
	if err := sh.store.SaveObservations(others); err != nil {
		if !sh.space.noted(err) {
			sh.fail(err)
		}
		return err
	}
	for _, o := range others {
		if g, voter := sh.groupOf(&o.Header); g != nil {
			sh.counting.countOn(sh.ctx, ballotsOn{tx, ballots{o, g, voter}}) // they are stored, and ctx may have little left
		}
		sh.observer.offer(o)
	}
	return nil
}
