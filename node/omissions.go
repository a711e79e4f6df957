package node

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

const (
	// omissionEvery is how often silence is looked for, omissionPatience how long a transaction must be
	// undecided here before anybody is asked about: the window of a report, and what is slow without malice.
	omissionEvery    = 5 * time.Second
	omissionPatience = observation.OmissionWindowMS*time.Millisecond + 5*time.Second
	// Each time these many transactions are looked at, and of each these many rivals and votes.
	omissionTxs    = 4
	omissionRivals = 64
	omissionVotes  = 256
	// Of a silent chain these many of its newest observations are read, and not more than these bytes.
	omissionHeights = 2048
	omissionBytes   = 8 << 20
	// keptOmissions bounds the reports that are remembered, which have observation.MaxOmissionBytes in all.
	keptOmissions = 16
)

// omissions owns the search for peers that know of a vote and say nothing (docs/spec/evidence.md, section 6). It
// looks at what is undecided for too long alone, for else silence does no harm. Nothing acts on what it finds.
type omissions struct {
	self   domain.PublicKey
	group  func() *group.Group
	votes  func(ctx context.Context, tx domain.Hash) ([]conflict.Vote, error)
	rivals func(ctx context.Context, tx domain.Hash) ([]domain.Hash, error)
	open   func(now time.Time) []*utxo.Tx
	store  *store.Store
	log    *slog.Logger
	fail   func(error)
	last   domain.Hash // of what was looked at, by ascending id

	mu   sync.Mutex
	kept []*observation.Omission // oldest first
	size int
}

// question is a transaction that somebody may be silent about.
type question struct {
	tx *utxo.Tx
	// about are its id and its rivals'; carriers the votes for it by the observation that holds them.
	about    map[domain.Hash]bool
	carriers map[domain.Hash]observation.Edge
}

func (sh *shell) wireOmissions() {
	sh.omissions = &omissions{
		self: sh.self, group: sh.group, votes: sh.counting.votes, store: sh.store, log: sh.log, fail: sh.fail,
		open: sh.stuck, rivals: sh.rivalsOf,
	}
}

// stuck are the transactions that this node could decide and that led to nothing for omissionPatience.
func (sh *shell) stuck(now time.Time) (txs []*utxo.Tx) {
	for _, f := range sh.flights.all() {
		f.mu.Lock()
		waits := f.state == lifecycle.Valid || f.state == lifecycle.Pending || f.state == lifecycle.Accepted || f.state == lifecycle.Contested
		if waits && now.Sub(f.since) > omissionPatience {
			txs = append(txs, f.tx)
		}
		f.mu.Unlock()
	}
	return txs
}

// rivalsOf are the other transactions of a transaction's contest, rivals or not.
func (sh *shell) rivalsOf(ctx context.Context, tx domain.Hash) (out []domain.Hash, err error) {
	err = sh.ask(ctx, func(r *record) {
		v, _ := r.view(tx)
		for i := range v.members {
			if v.members[i].tx != tx {
				out = append(out, v.members[i].tx)
			}
		}
	})
	return out, err
}

// Omissions are canonical reports of peers that knew of a vote and kept silent, newest first, one of each chain, as
// found since the node started. They convict nobody.
func (n *Node) Omissions(context.Context) ([][]byte, error) {
	o := n.sh.omissions
	o.mu.Lock()
	defer o.mu.Unlock()
	var raws [][]byte
	for _, r := range slices.Backward(o.kept) {
		raws = append(raws, r.Raw)
	}
	return raws, nil
}

func (o *omissions) run(ctx context.Context) {
	tick := time.NewTicker(omissionEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if err := o.look(ctx, o.turn(o.open(now))); err != nil {
				if ctx.Err() == nil && refusal.ReasonOf(err) == notaryv1.Reason_REASON_UNSPECIFIED {
					o.fail(err) // of the store; a refusal says that the node shuts down
				}
				return
			}
		}
	}
}

// turn is the few whose turn it is, by ascending id, so that each comes to it.
func (o *omissions) turn(txs []*utxo.Tx) []*utxo.Tx {
	slices.SortFunc(txs, func(a, b *utxo.Tx) int { return a.ID.Compare(b.ID) })
	from, _ := slices.BinarySearchFunc(txs, o.last, func(t *utxo.Tx, id domain.Hash) int {
		if t.ID == id {
			return -1 // after it
		}
		return t.ID.Compare(id)
	})
	txs = append(txs[from:len(txs):len(txs)], txs[:from]...)
	txs = txs[:min(len(txs), omissionTxs)]
	if len(txs) > 0 {
		o.last = txs[len(txs)-1].ID
	}
	return txs
}

// look searches for silence about each of some transactions.
func (o *omissions) look(ctx context.Context, txs []*utxo.Tx) error {
	for _, tx := range txs {
		q, silent, err := o.ask(ctx, tx)
		if err != nil {
			return err
		}
		if len(q.carriers) == 0 {
			continue
		}
		for _, chain := range silent {
			report, err := o.search(chain, q)
			if err != nil {
				return err
			}
			if report != nil {
				o.keep(report)
			}
		}
	}
	return ctx.Err()
}

// ask collects who voted for a transaction, and the chains of the group that voted neither on it nor on a rival.
func (o *omissions) ask(ctx context.Context, tx *utxo.Tx) (q *question, silent []observation.ChainID, err error) {
	q = &question{tx: tx, about: map[domain.Hash]bool{tx.ID: true}, carriers: make(map[domain.Hash]observation.Edge)}
	rivals, err := o.rivals(ctx, tx.ID)
	if err != nil {
		return q, nil, err
	}
	if len(rivals) > omissionRivals {
		return q, nil, nil // a flood of rivals: whoever votes has much to say, and may say it of any of them
	}
	spoke := map[domain.PublicKey]bool{o.self: true}
	for _, id := range append(rivals, tx.ID) {
		q.about[id] = true
		votes, err := o.votes(ctx, id)
		if err != nil {
			return q, nil, err
		}
		for i := range votes {
			spoke[votes[i].Key()] = true
		}
		if id != tx.ID {
			continue
		}
		for i := range votes[:min(len(votes), omissionVotes)] {
			if err := o.carry(q, &votes[i]); err != nil {
				return q, nil, err
			}
		}
	}
	for _, v := range o.group().Voters() {
		if chain := (observation.ChainID{Key: v.Key, SigningEpoch: v.SigningEpoch}); !spoke[v.Key] && !o.reported(chain) {
			silent = append(silent, chain)
		}
	}
	return q, silent, nil
}

// carry notes the stored observation that holds a vote for the transaction.
func (o *omissions) carry(q *question, v *conflict.Vote) error {
	if v.State != observation.Pending && v.State != observation.Accepted {
		return nil
	}
	held, found, err := o.store.Observation(observation.ChainID{Key: v.Key(), SigningEpoch: v.SigningEpoch}, v.Height)
	if err != nil || !found || !holdsDeed(held, &conflict.Deed{Tx: v.Tx, State: v.State, Round: v.Round, Height: v.Height, Leaf: v.Leaf}) {
		return err
	}
	if _, there := q.carriers[held.Hash]; !there {
		q.carriers[held.Hash] = held.Edge(int(v.Leaf))
	}
	return nil
}

// search reads the newest part of a chain for a reference to a vote that no word on the transaction or a rival
// stands beside, before or after; nil where there is none.
func (o *omissions) search(id observation.ChainID, q *question) (*observation.Omission, error) {
	head := o.store.Head(id).Height
	var vote observation.Edge
	var chain []*observation.Observation
	read, size := 0, 0
	for c, err := range o.store.Observations(id, head-min(head, omissionHeights)+1, head) {
		if err != nil {
			return nil, err
		}
		if read += len(c.Raw); read > omissionBytes {
			return nil, nil
		}
		to, speaks := q.read(c)
		if speaks {
			return nil, nil
		}
		if chain == nil && to != nil {
			vote, chain = *to, []*observation.Observation{}
		}
		if chain != nil && size <= observation.MaxOmissionBytes {
			chain, size = append(chain, c), size+len(c.Raw)
		}
	}
	if chain == nil {
		return nil, nil
	}
	report, err := observation.NewOmission(vote, q.tx.Body, chain)
	if err != nil || report.Verify() != nil {
		return nil, nil // no omission: not yet past the window, too busy a chain, or a gap
	}
	return report, nil
}

// read is the vote that an observation refers to, if any, and whether it speaks of the transaction or a rival.
func (q *question) read(c *observation.Observation) (to *observation.Edge, speaks bool) {
	for i := range c.Len() {
		switch l := c.Leaf(i); l.Type {
		case observation.SubjectTx:
			if q.about[l.Subject] {
				return nil, true
			}
		case observation.SubjectObservation:
			if e, carries := q.carriers[l.Subject]; carries && to == nil {
				to = &e
			}
		}
	}
	return to, false
}

func (o *omissions) reported(id observation.ChainID) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.ContainsFunc(o.kept, func(r *observation.Omission) bool { return r.Key() == id })
}

// keep remembers a report; the oldest give way.
func (o *omissions) keep(r *observation.Omission) {
	o.log.Info("a peer knows of a vote and keeps silent (notary evidence --omissions)", "key", r.Key().Key, "transaction", r.Tx())
	o.mu.Lock()
	defer o.mu.Unlock()
	o.kept, o.size = append(o.kept, r), o.size+len(r.Raw)
	for len(o.kept) > keptOmissions || o.size > observation.MaxOmissionBytes {
		o.size -= len(o.kept[0].Raw)
		o.kept[0], o.kept = nil, o.kept[1:]
	}
}
