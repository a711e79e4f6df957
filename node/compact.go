package node

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of the compact proofs that are made for clients.
const (
	// compactsAtOnce bounds the proofs in the making, askedAtOnce the peers asked at once for one of them.
	compactsAtOnce = 8
	askedAtOnce    = 16
	// compactPatience is how long members have in all, compactGrace how long the rest have after a quorum has
	// answered.
	compactPatience = 5 * time.Second
	compactGrace    = 200 * time.Millisecond
	// compactsKept is how many proofs are remembered.
	compactsKept = 1024
)

// compactor makes compact proofs of what is final here: it collects final signatures from the members of the
// present group, whoever made the transaction final, and folds them.
type compactor struct {
	signer *finalSigner
	group  func() *group.Group
	log    *slog.Logger

	// pull asks one member; blame costs one its standing; heard is told of all signatures of one statement, checked,
	// and must not block.
	pull  func(ctx context.Context, key domain.PublicKey, want gossip.Final, check func(raw []byte) error) ([]byte, error)
	blame func(key domain.PublicKey)
	heard func(tx domain.Hash, finals []observation.FinalSignature)

	grace time.Duration // compactGrace
	slots chan struct{}
	mu    sync.Mutex
	kept  map[domain.Hash]*observation.Compact // by transaction, without its bytes
}

func newCompactor(signer *finalSigner, g func() *group.Group, log *slog.Logger) *compactor {
	return &compactor{
		signer: signer, group: g, log: log, grace: compactGrace,
		slots: make(chan struct{}, compactsAtOnce), kept: make(map[domain.Hash]*observation.Compact),
	}
}

// CompactProof is the canonical compact proof of a final transaction. NOT_FOUND and NOT_FINAL say why there is none;
// NOT_ENOUGH_WEIGHT that too few members with BLS keys answered, OVERLOADED that too many are being made. Links are
// those of Proof.
func (n *Node) CompactProof(ctx context.Context, id domain.Hash, withTransaction bool, known uint64, pay func(bytes int) error) ([]byte, error) {
	t, err := n.final(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := n.sh.begun(ctx); err != nil {
		return nil, err
	}
	if g := n.sh.group(); n.sh.compactor.known(id, g) == nil {
		if err := pay(costOfAsking * len(g.Voters())); err != nil {
			return nil, err
		}
	}
	proof, err := n.sh.compactor.proof(ctx, id, t.Final.Round)
	if err != nil {
		return nil, err
	}
	told := *proof
	if withTransaction {
		told.Raw = t.Raw
	}
	if err := n.sh.lineage.linkFrom(&told, told.GroupEpoch, known); err != nil {
		return nil, fmt.Errorf("links to epoch %d: %w", told.GroupEpoch, err)
	}
	return told.Encode(), nil
}

// proof is a compact proof without the transaction.
func (c *compactor) proof(ctx context.Context, id domain.Hash, round uint32) (*observation.Compact, error) {
	g := c.group()
	if p := c.known(id, g); p != nil {
		return p, nil
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	default:
		return nil, refusal.New(notaryv1.Reason_REASON_OVERLOADED, "", "%d compact proofs are being made", compactsAtOnce)
	}
	s := observation.FinalStatement{Network: g.Network(), Link: g.Link(), Tx: id, Round: round}
	finals, err := c.collect(ctx, g, s)
	if err != nil {
		return nil, err
	}
	c.heard(id, finals)
	p, bad, err := observation.BuildCompact(g, s, nil, finals)
	for _, key := range bad {
		c.log.Warn("a member's final signature does not hold", "key", key, "tx", id)
		c.blame(key)
	}
	if err != nil {
		return nil, tooFewSign(0)
	}
	v, err := p.Verify(observation.NewRoot(g))
	switch {
	case err != nil:
		return nil, fmt.Errorf("compact proof of %s: %w", id, err)
	case v.Conclusion != observation.Valid:
		return nil, tooFewSign(v.Transactions[0].Weight)
	}
	c.keep(p)
	return p, nil
}

func tooFewSign(w group.Weight) error {
	return refusal.New(notaryv1.Reason_REASON_NOT_ENOUGH_WEIGHT, "", "final signatures of weight %d, more than %d is needed", w, group.QuorumWeight)
}

// known is a proof made earlier that counts with the present group.
func (c *compactor) known(id domain.Hash, g *group.Group) *observation.Compact {
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.kept[id]; p != nil && p.Link == g.Link() {
		return p
	}
	return nil
}

func (c *compactor) keep(p *observation.Compact) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.kept) >= compactsKept {
		clear(c.kept)
	}
	c.kept[p.Tx] = p
}

// collect gathers final signatures for one statement, this node's own first, then those of all other members with
// BLS keys, the heaviest asked first. It ends when all have answered, a while after a quorum has, or when
// patience does.
func (c *compactor) collect(ctx context.Context, g *group.Group, s observation.FinalStatement) ([]observation.FinalSignature, error) {
	var finals []observation.FinalSignature
	own, ok, err := c.signer.final(gossip.Final{Tx: s.Tx, Round: s.Round, Link: s.Link}, func() bool { return true })
	if err != nil {
		return nil, err
	}
	if ok {
		finals = append(finals, own)
	}
	ctx, cancel := context.WithTimeout(ctx, compactPatience)
	defer cancel()
	return append(finals, c.askAll(ctx, cancel, g, s, g.Share(own.Key))...), nil
}

// confess collects final signatures for what is not final here, in round 0: signers vouch for transactions, whatever
// the round.
func (c *compactor) confess(ctx context.Context, tx domain.Hash) []observation.FinalSignature {
	g := c.group()
	finals, err := c.collect(ctx, g, observation.FinalStatement{Network: g.Network(), Link: g.Link(), Tx: tx})
	if err != nil {
		c.log.Error("final signatures of a rival", "tx", tx, "err", err)
	}
	return finals
}

// askAll asks the members. weight is what has signed already.
func (c *compactor) askAll(ctx context.Context, cancel func(), g *group.Group, s observation.FinalStatement, weight group.Weight) (finals []observation.FinalSignature) {
	var members []group.Voter
	for _, v := range g.Voters() {
		if v.BLS != nil && v.Key != c.signer.node.Public() {
			members = append(members, v)
		}
	}
	slices.SortStableFunc(members, func(a, b group.Voter) int { return cmp.Compare(b.Share, a.Share) })
	next, answers := make(chan group.Voter), make(chan observation.FinalSignature)
	var asking sync.WaitGroup
	for range min(askedAtOnce, len(members)) {
		asking.Go(func() {
			for v := range next {
				if f, ok := c.ask(ctx, v, s); ok {
					answers <- f
				}
			}
		})
	}
	go func() {
		defer close(answers)
		defer asking.Wait()
		defer close(next)
		for _, v := range members {
			select {
			case next <- v:
			case <-ctx.Done():
				return
			}
		}
	}()
	var over *time.Timer // how long others may still answer once there is a quorum
	for f := range answers {
		finals = append(finals, f)
		if weight += g.Share(f.Key); over == nil && group.Quorum(weight) {
			over = time.AfterFunc(c.grace, cancel)
		}
	}
	if over != nil {
		over.Stop()
	}
	return finals
}

// ask gets the final signature of one member and checks all but its share, which is verified in the sum.
func (c *compactor) ask(ctx context.Context, v group.Voter, s observation.FinalStatement) (f observation.FinalSignature, ok bool) {
	raw, err := c.pull(ctx, v.Key, gossip.Final{Tx: s.Tx, Round: s.Round, Link: s.Link}, func(raw []byte) (err error) {
		if f, err = observation.DecodeFinal(raw); err != nil {
			return err
		}
		if f.FinalStatement != s || f.Key != v.Key || f.SigningEpoch != v.SigningEpoch {
			return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "", "not what was asked for")
		}
		if check := f.Check(); !check.Verify() {
			return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "node_signature", "not by %s", v.Key)
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		c.log.Debug("no final signature", "key", v.Key, "tx", s.Tx, "err", err)
	}
	return f, err == nil && raw != nil
}

// wireFinals makes those who give and collect final signatures.
func (sh *shell) wireFinals(key domain.PrivateKey) {
	present := sh.group
	sh.finalSigner = newFinalSigner(key, sh.store, present)
	sh.compactor = newCompactor(sh.finalSigner, present, sh.log)
	sh.compactor.pull = func(ctx context.Context, key domain.PublicKey, want gossip.Final, check func(raw []byte) error) ([]byte, error) {
		return sh.net.PullFinal(ctx, key, want, check)
	}
	sh.compactor.blame = func(key domain.PublicKey) { sh.net.Penalise(key, gossip.OffenceWrong) }
	sh.compactor.heard = sh.witness.hearFinals
	sh.witness.ask = sh.compactor.confess
}
