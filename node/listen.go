package node

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// How members are asked before the first vote.
const (
	// listenEvery is how often the listener looks for members to ask, and listenPatience how long one may
	// take to answer before it is asked again.
	listenEvery    = 10 * time.Millisecond
	listenPatience = 2 * time.Second
	listenAtOnce   = 16
)

// vote listens before it signs anything in this life, and then runs the batcher.
func (n *Node) vote(ctx context.Context) {
	sh := n.sh
	if sh.batcher.signs {
		if sh.listen(ctx) != nil {
			return // the node ends, and says why
		}
		sh.resend()
	}
	sh.batcher.run(ctx)
}

// listen asks members how far they know this node's own chain. It ends well once members that, with this node,
// hold a quorum have answered that they know nothing but what is on record here: whatever another machine
// with this key had signed, and had counted, one of them would have known. Where so many cannot be
// reached it ends with Config.Listen: nothing becomes final without them. A node that hears of an
// observation of its own that it does not know ends.
func (sh *shell) listen(ctx context.Context) error {
	if sh.config.Listen == 0 {
		return nil
	}
	over := time.NewTimer(sh.config.Listen)
	defer over.Stop()
	look := time.NewTicker(listenEvery)
	defer look.Stop()
	l := listener{sh: sh, answered: make(map[domain.PublicKey]bool), asked: make(map[domain.PublicKey]bool), answers: make(chan answer)}
	ctx, cancel := context.WithCancel(ctx)
	defer l.wait() // after cancel
	defer cancel()
	start := time.Now()
	for {
		heard := l.weight()
		if heard > group.QuorumWeight {
			sh.log.Info("nobody knows of anything else by this key", "asked", len(l.answered), "weight", percent(heard), "took", time.Since(start))
			sh.ready.say(aboutListening, "")
			return nil
		}
		sh.ready.say(aboutListening, fmt.Sprintf("listening before the first vote: members with %s of the weight have said what they know of this key, more than %s wanted",
			percent(heard), percent(group.QuorumWeight)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over.C:
			sh.log.Warn("votes without having heard a quorum: if another machine runs this key, stop it now",
				"heard", percent(heard), "listened", sh.config.Listen)
			sh.ready.say(aboutListening, "")
			return nil
		case <-look.C:
			l.ask(ctx)
		case a := <-l.answers:
			delete(l.asked, a.peer)
			l.running--
			if a.halt != nil {
				return a.halt
			}
			if a.ok {
				l.answered[a.peer] = true
			}
		}
	}
}

// listener is who has answered, and who was asked.
type listener struct {
	sh              *shell
	answered, asked map[domain.PublicKey]bool
	answers         chan answer
	running         int
}

// answer is what a member said of this node's chain: that it knows no more than is on record here, or, with
// proof, that it does.
type answer struct {
	peer domain.PublicKey
	ok   bool
	halt error
}

// weight is that of this node and of the members that answered.
func (l *listener) weight() group.Weight {
	w := l.sh.group().Share(l.sh.self)
	for key := range l.answered {
		w += l.sh.group().Share(key)
	}
	return w
}

// ask asks the connected members that have not answered.
func (l *listener) ask(ctx context.Context) {
	for _, p := range l.sh.net.Peers() {
		if l.running >= listenAtOnce {
			return
		}
		if l.answered[p.Key] || l.asked[p.Key] || p.Key == l.sh.self || l.sh.group().Share(p.Key) == 0 {
			continue
		}
		l.asked[p.Key] = true
		l.running++
		go func() {
			ctx, cancel := context.WithTimeout(ctx, listenPatience)
			defer cancel()
			l.answers <- l.sh.inquire(ctx, p.Key)
		}()
	}
}

// wait takes the answers that are still to come.
func (l *listener) wait() {
	for ; l.running > 0; l.running-- {
		<-l.answers
	}
}

// inquire asks one member. What it claims counts only with the signed observation.
func (sh *shell) inquire(ctx context.Context, peer domain.PublicKey) answer {
	a := answer{peer: peer}
	heads, err := sh.net.PullHeads(ctx, peer)
	if err != nil {
		return a
	}
	for _, h := range heads {
		chain := observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}
		if !sh.signs(chain) || h.Height == 0 {
			continue
		}
		known, err := sh.recorded(chain, h.Height, h.Hash)
		if err != nil {
			return a
		}
		if !known {
			a.halt = sh.demand(ctx, peer, chain, h.Height)
			return a // no proof, no answer
		}
	}
	a.ok = true
	return a
}

// demand pulls an observation that this node is said to have signed from who says so, and ends the node if
// it has.
func (sh *shell) demand(ctx context.Context, peer domain.PublicKey, chain observation.ChainID, height uint64) error {
	r := gossip.Range{Key: chain.Key, SigningEpoch: chain.SigningEpoch, From: height, To: height}
	found, _ := sh.net.PullObservations(ctx, []domain.PublicKey{peer}, r, func(raw []byte) (uint64, error) {
		return sh.pulledHeight(raw, chain) // checks the signature
	})
	for _, f := range found {
		o, err := observation.Decode(f.Raw, sh.obsRules)
		if err != nil {
			continue
		}
		if err := sh.recognise(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

// resend publishes what was signed last again, the same bytes: the life before may have ended between saving and sending
// it. Who knows it does not look at it twice.
func (sh *shell) resend() {
	row, err := lastRow(sh.store, sh.batcher.head)
	if err != nil {
		sh.fail(err)
		return
	}
	sh.publishObservations(row)
}

// lastRow are the newest observations of a chain that were sealed at one time, as those of one flush are.
func lastRow(s *store.Store, head observation.Head) (row []*observation.Observation, err error) {
	chain := observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch}
	for height := head.Height; height > 0 && len(row) < observation.MaxRun; height-- {
		o, found, err := s.Observation(chain, height)
		if err != nil {
			return nil, err
		}
		if !found || len(row) > 0 && o.Header.TimeMS != row[0].Header.TimeMS {
			break
		}
		row = append(row, o)
	}
	slices.Reverse(row)
	return row, nil
}
