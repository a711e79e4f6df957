package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/snapshot"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

const (
	// joinLook is how often the connected peers are looked at for one that was not asked yet, and joinLonger how long after
	// a snapshot with a quorum was found others may name a newer one.
	joinLook   = 20 * time.Millisecond
	joinLonger = 500 * time.Millisecond
	// joinAgain is how soon a peer is asked again that did not answer: it may only have come up.
	joinAgain = 300 * time.Millisecond
	// joinTries is how many snapshots are begun from, one after the other.
	joinTries = 3
	// pullRate is what is pulled from one peer, in bytes a second, and pullBurst at once: below what nodes serve.
	pullRate  = 24 << 20
	pullBurst = 64 << 20
	// piecesAhead is how many pieces are pulled at a time.
	piecesAhead = 6
	// pieceTries is how often the signers are gone through for a piece, pieceAgain apart.
	pieceTries = 8
	pieceAgain = 250 * time.Millisecond
)

// Join has a new store begin from a snapshot that peers offer: the newest that members with more than 2/3 of the weight
// vouch for, of a group that this node can verify. It takes the place of a node that runs, on its addresses, until it
// returns. Where the store is not new, or there is no such snapshot within Config.JoinPatience, nothing has changed and
// there is no error: the node catches up from the genesis document. So it is where an error says why a snapshot did not
// hold what was vouched for; any other error is that of the store.
func Join(ctx context.Context, c Config, p Parts) (*store.Began, error) {
	self := p.Key.Public()
	if c.JoinPatience == 0 || !p.Store.Fresh() {
		return nil, nil
	}
	if !group.Quorum(group.Total - p.Genesis.Group.Share(self)) {
		return nil, nil // nothing is final without this node
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	net, err := gossip.New(ctx, p.Gossip, newcomer{}, p.GossipMetrics, p.Log)
	if err != nil {
		return nil, fmt.Errorf("joining the network: %w", err)
	}
	net.SetMembers(members(p.Genesis.Group))
	net.Serve(ctx, newcomer{}, nil)
	j := &joiner{
		net: net, store: p.Store, log: p.Log, self: self, genesis: p.Genesis, rules: utxo.RulesOf(p.Genesis),
		groups: map[domain.Hash]*group.Group{p.Genesis.Group.Link(): p.Genesis.Group}, pace: make(map[domain.PublicKey]*rate.Limiter),
	}
	began, err := j.join(ctx, c.JoinPatience)
	return began, errors.Join(err, net.Close())
}

// joiner finds a snapshot and begins from it. Not for concurrent use, but for what pulls.
type joiner struct {
	net     *gossip.Net
	store   *store.Store
	log     *slog.Logger
	self    domain.PublicKey
	genesis *group.Genesis
	rules   utxo.Rules

	offers map[domain.PublicKey][]snapshot.Offer // of whom was asked
	groups map[domain.Hash]*group.Group          // verified, by link
	chain  []*proven                             // the links to them, oldest first
	pace   map[domain.PublicKey]*rate.Limiter
}

func (j *joiner) join(ctx context.Context, patience time.Duration) (*store.Began, error) {
	until := time.Now().Add(patience)
	var failed error
	for range joinTries {
		choice, ok := j.choose(ctx, until)
		if !ok {
			return nil, failed
		}
		m, err := j.manifest(ctx, choice)
		if err == nil && m.Epoch > 0 && j.groups[m.Link].Share(j.self) > 0 {
			// Whoever votes in an epoch takes over the locks of the one before (docs/spec/voting.md, section 7).
			j.log.Info("no snapshot: this node votes in an epoch into which it must bring locks", "epoch", m.Epoch)
			return nil, nil
		}
		if err == nil {
			err = j.begin(ctx, m, choice)
		}
		if err == nil {
			return j.store.Began(), nil
		}
		if ctx.Err() != nil || errors.Is(err, store.ErrStoreFailed) {
			return nil, err
		}
		j.log.Warn("a snapshot could not be begun from", "manifest", choice.Manifest, "err", err)
		failed = err
		until = time.Now().Add(patience)
	}
	return nil, failed
}

// choose asks peers until a quorum vouches for a snapshot and the others had time to name a newer one, or until none can
// any more.
func (j *joiner) choose(ctx context.Context, until time.Time) (best snapshot.Choice, ok bool) {
	j.offers = make(map[domain.PublicKey][]snapshot.Offer)
	again := make(map[domain.PublicKey]time.Time)
	for time.Now().Before(until) {
		for _, p := range j.net.Peers() {
			if _, asked := j.offers[p.Key]; asked || time.Now().Before(again[p.Key]) || ctx.Err() != nil {
				continue
			}
			again[p.Key] = time.Now().Add(joinAgain)
			s, err := j.net.PullSnapshots(ctx, p.Key, len(j.chain))
			if err != nil {
				j.log.Debug("no word on snapshots", "peer", p.Key, "err", err)
				continue
			}
			j.offers[p.Key] = s.Offers
			j.learn(ctx, p.Key, s)
		}
		if best, ok = snapshot.Choose(j.offers, j.groupAt); ok {
			until = minTime(until, time.Now().Add(joinLonger))
		}
		if j.heardAll(ok) || !pause(ctx, joinLook) {
			break
		}
	}
	return best, ok && ctx.Err() == nil
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// groupAt is the group of a link that is verified, unless the quorum of the next one was sealed by a time: a snapshot of
// that time has the next link in it, and is for its group to vouch for. So nobody who gets hold of the keys of an old
// group can name a time after it.
func (j *joiner) groupAt(link domain.Hash, timeMS uint64) *group.Group {
	g := j.groups[link]
	if g == nil || g.Epoch() >= uint64(len(j.chain)) {
		return g
	}
	sealed := uint64(0)
	for _, o := range j.chain[g.Epoch()].proof.Observations {
		sealed = max(sealed, o.TimeMS)
	}
	if timeMS >= sealed {
		return nil
	}
	return g
}

// heardAll reports whether no member is left that could make a difference: all others have answered, or those that
// offer nothing are too many for a quorum. It is by the newest group that is known.
func (j *joiner) heardAll(chosen bool) bool {
	g := j.last()
	left, silent := group.Total-g.Share(j.self), group.Weight(0)
	for key, list := range j.offers {
		if left -= min(left, g.Share(key)); len(list) == 0 {
			silent += g.Share(key)
		}
	}
	return left == 0 || !chosen && !group.Quorum(group.Total-g.Share(j.self)-silent)
}

// learn follows the links that a peer names beyond those that are known, and asks for more until it names none: each is verified
// by its proof, by the group before it. A peer that offers nothing is not asked.
func (j *joiner) learn(ctx context.Context, peer domain.PublicKey, s gossip.Snapshots) {
	for len(s.Offers) > 0 && len(s.Links) > 0 {
		for links := s.Links; len(links) > 0; {
			batch := links[:min(len(links), gossip.MaxPullItems)]
			links = links[len(batch):]
			if err := j.follow(ctx, peer, batch); err != nil {
				j.log.Debug("links not followed", "peer", peer, "err", err)
				return
			}
		}
		j.net.SetMembers(members(j.last()))
		var err error
		if s, err = j.net.PullSnapshots(ctx, peer, len(j.chain)); err != nil {
			j.log.Debug("no further links", "peer", peer, "err", err)
			return
		}
	}
}

// follow pulls some links with their proofs.
func (j *joiner) follow(ctx context.Context, peer domain.PublicKey, ids []domain.Hash) error {
	raws := make(map[domain.Hash]gossip.Pulled)
	found, err := j.net.PullTransactions(ctx, []domain.PublicKey{peer}, ids, true, func(raw, _ []byte) (domain.Hash, error) {
		tx, err := utxo.Decode(raw, j.rules)
		if err != nil {
			return domain.Hash{}, err
		}
		return tx.ID, nil
	})
	if err != nil {
		return err
	}
	for _, t := range found {
		raws[t.ID] = t
	}
	for _, id := range ids {
		_, p, err := proves(raws[id].Raw, raws[id].Proof, j.rules, func(link domain.Hash) *group.Group { return j.groups[link] })
		if err == nil && (p == nil || p.tx.Link == nil || p.at.Group != j.last() || p.tx.Link.Previous() != j.last().Link()) {
			err = fmt.Errorf("%s does not lead on from epoch %d", id, j.last().Epoch())
		}
		if err != nil {
			j.net.Blame(peer)
			return err
		}
		j.chain = append(j.chain, p)
		j.groups[p.tx.Link.Link()] = p.tx.Link
	}
	return nil
}

// last is the newest group that is verified.
func (j *joiner) last() *group.Group {
	if len(j.chain) == 0 {
		return j.genesis.Group
	}
	return j.chain[len(j.chain)-1].tx.Link
}

// manifest pulls that of a choice from any of its signers.
func (j *joiner) manifest(ctx context.Context, c snapshot.Choice) (*snapshot.Manifest, error) {
	err := fmt.Errorf("nobody has the manifest of snapshot %s", c.Manifest)
	for _, key := range c.Signers {
		raw, e := j.net.PullPiece(ctx, key, c.Manifest, 0, c.Manifest)
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		m, e := snapshot.DecodeManifest(raw, j.genesis.ID)
		if e != nil {
			return nil, e
		}
		o := snapshot.Offer{Manifest: c.Manifest, Link: c.Link, TimeMS: c.TimeMS}
		if g := j.groups[c.Link]; !o.Is(m) || m.Epoch != g.Epoch() {
			return nil, fmt.Errorf("%w: not what its signers say of it", snapshot.ErrManifest)
		}
		return m, nil
	}
	return nil, err
}

// begin takes the pieces in, each as it comes in its turn, and then what the network knows of itself.
func (j *joiner) begin(ctx context.Context, m *snapshot.Manifest, c snapshot.Choice) (err error) {
	started := time.Now()
	j.log.Info("beginning from a snapshot", "at", time.UnixMilli(int64(m.TimeMS)), "manifest", c.Manifest, "finals", m.Counts.Finals,
		"outputs", m.Counts.Outputs, "pieces", len(m.Pieces), "weight", c.Weight)
	b, err := j.store.Begin(m)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Abort())
		}
	}()
	bytes := 0
	for piece, err := range j.pieces(ctx, m, c) {
		if err == nil {
			bytes += len(piece)
			err = b.Piece(piece)
		}
		if err != nil {
			return err
		}
	}
	if err := j.keep(ctx, b, c.Signers); err != nil {
		return err
	}
	if err := b.Finish(c.Weight); err != nil {
		return err
	}
	j.log.Info("begun from a snapshot", "bytes", bytes, "took", time.Since(started))
	return nil
}

// pieces are those of a snapshot in their order, some pulled ahead. The sequence ends with the first error.
func (j *joiner) pieces(ctx context.Context, m *snapshot.Manifest, c snapshot.Choice) func(func([]byte, error) bool) {
	for _, key := range c.Signers {
		j.pace[key] = rate.NewLimiter(pullRate, pullBurst)
	}
	return func(yield func([]byte, error) bool) {
		var pulling sync.WaitGroup
		defer pulling.Wait() // whoever tries again changes what they read
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type pulled struct {
			piece []byte
			err   error
		}
		coming := make(chan chan pulled, piecesAhead)
		pulling.Go(func() {
			defer close(coming)
			for i := range m.Pieces {
				reply := make(chan pulled, 1)
				select {
				case coming <- reply:
				case <-ctx.Done():
					return
				}
				pulling.Go(func() {
					piece, err := j.piece(ctx, m, c, i)
					reply <- pulled{piece, err}
				})
			}
		})
		for reply := range coming {
			p := <-reply
			if !yield(p.piece, p.err) || p.err != nil {
				return
			}
		}
	}
}

// piece pulls one piece from the signers, a different one first for each.
func (j *joiner) piece(ctx context.Context, m *snapshot.Manifest, c snapshot.Choice, i int) ([]byte, error) {
	var failed error
	for range pieceTries {
		for k := range c.Signers {
			key := c.Signers[(i+k)%len(c.Signers)]
			if err := j.pace[key].WaitN(ctx, snapshot.MaxPiece); err != nil {
				return nil, err
			}
			piece, err := j.net.PullPiece(ctx, key, c.Manifest, uint32(i)+1, m.Pieces[i])
			if err == nil {
				return piece, nil
			}
			failed = err
		}
		if !pause(ctx, pieceAgain) {
			return nil, ctx.Err()
		}
	}
	return nil, failed
}

// keep fetches the transactions that hold what the network knows of itself: every version of every peer's metadata, and
// all links, which are here already.
func (j *joiner) keep(ctx context.Context, b *store.Begin, signers []domain.PublicKey) error {
	done := make(map[domain.Hash]bool)
	for _, p := range j.chain {
		if !b.Final(p.tx.ID) {
			break // a link of later
		}
		done[p.tx.ID] = true
		info := store.FinalInfo{Round: p.at.Round, GroupEpoch: p.at.Group.Epoch(), Link: p.at.Group.Link(), Edges: p.edges}
		if err := b.Keep(p.tx, &info, p.proof.Encode()); err != nil {
			return err
		}
	}
	// wanted are transactions that may hold metadata; true where they must hold some.
	wanted := make(map[domain.Hash]bool)
	for _, id := range b.Holders() {
		wanted[id] = true
	}
	v := make(versions)
	for len(wanted) > 0 {
		maps.DeleteFunc(wanted, func(id domain.Hash, _ bool) bool { return done[id] || !b.Final(id) })
		batch := slices.SortedFunc(maps.Keys(wanted), domain.Hash.Compare)
		batch = batch[:min(len(batch), gossip.MaxPullItems)]
		if len(batch) == 0 {
			break
		}
		txs, missing := j.transactions(ctx, signers, batch)
		if missing != nil && !errors.Is(missing, gossip.ErrMissing) {
			return missing
		}
		for _, tx := range txs {
			done[tx.ID] = true
			if tx.Link != nil && wanted[tx.ID] {
				return fmt.Errorf("link %s is in the snapshot, and nobody proves it", tx.ID)
			}
			if tx.Peer == nil {
				continue // it was spent beside metadata, such as for the fee
			}
			if err := b.Keep(tx, nil, nil); err != nil {
				return err
			}
			v.add(tx.Peer)
			if tx.Peer.Version > 1 {
				for _, o := range tx.Spends() {
					if _, asked := wanted[o.Tx]; !asked {
						wanted[o.Tx] = false
					}
				}
			}
		}
		for _, id := range batch {
			if !done[id] && wanted[id] {
				return missing
			}
			done[id] = true // who began from a snapshot has no bytes of what paid a fee
		}
	}
	return v.complete()
}

// versions counts the versions of the metadata of each peer that are here.
type versions map[domain.Hash]versionCount

type versionCount struct{ newest, here uint64 }

// add counts one. None comes twice.
func (v versions) add(p *group.Peer) {
	c := v[p.ID]
	v[p.ID] = versionCount{max(c.newest, p.Version), c.here + 1}
}

// complete reports whether all versions up to the newest are here.
func (v versions) complete() error {
	for peer, c := range v {
		if c.here != c.newest {
			return fmt.Errorf("%w: %d of %d versions of the metadata of peer %s", gossip.ErrMissing, c.here, c.newest, peer)
		}
	}
	return nil
}

// transactions pulls some by their ids. Those that were found come with ErrMissing too.
func (j *joiner) transactions(ctx context.Context, from []domain.PublicKey, ids []domain.Hash) (txs []*utxo.Tx, err error) {
	found, err := j.net.PullTransactions(ctx, from, ids, false, func(raw, _ []byte) (domain.Hash, error) {
		tx, err := utxo.Decode(raw, j.rules)
		if err != nil {
			return domain.Hash{}, err
		}
		return tx.ID, nil
	})
	if err != nil {
		err = fmt.Errorf("transactions that hold the metadata of peers: %w", err)
	}
	for _, t := range found {
		tx, e := utxo.Decode(t.Raw, j.rules)
		if e != nil {
			return nil, e
		}
		txs = append(txs, tx)
	}
	return txs, err
}
