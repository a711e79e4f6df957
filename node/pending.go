package node

import (
	"context"

	"github.com/notarynet/notaryd/node/lifecycle"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// Pending is a transaction that is waited for without a goroutine, as the API knows it (api.Pending).
type Pending = interface {
	Result() (*notaryv1.TransactionStatus, error)
	Status(ctx context.Context) *notaryv1.TransactionStatus
	Leave() bool
}

// Begin takes a transaction in as Submit does and returns once it has a place: ready is called, once and from any
// goroutine, when it has reached a level, is rejected, or the node ends. It must not block, and may be called before Begin
// returns.
func (n *Node) Begin(ctx context.Context, origin string, raw []byte, level notaryv1.WaitLevel, ready func()) (Pending, error) {
	tx, err := n.sh.received(ctx, raw)
	if err != nil {
		return nil, err
	}
	p := &pending{node: n, ctx: ctx, origin: origin, tx: tx, level: level, ready: ready}
	if p.f, p.status, err = n.sh.submitted(ctx, tx, origin); err != nil {
		return nil, err
	}
	if p.f == nil { // it is final
		ready()
		return p, nil
	}
	if !p.f.await(vigil{level, p}) {
		state, _ := p.f.standing()
		p.arrived(state)
	}
	return p, nil
}

// pending implements Pending.
type pending struct {
	node   *Node
	ctx    context.Context
	origin string
	tx     *utxo.Tx
	level  notaryv1.WaitLevel
	ready  func()
	f      *flight

	// What Result returns, where it had to be waited for.
	status *notaryv1.TransactionStatus
	err    error
}

// arrived implements arriver. What is final needs no more waiting, nearly always; anything else does, and that is not
// for the goroutine of the flight.
func (p *pending) arrived(state lifecycle.State) {
	if state == lifecycle.Final && p.node.sh.backers.waits(p.tx.ID) == nil {
		p.ready()
		return
	}
	go func() {
		p.status, p.err = p.node.sh.awaited(p.ctx, p.f, p.level)
		if p.f.tx.FullHash != p.tx.FullHash && witnessed(p.err) { // the flight was that of a copy with a corrupt witness
			p.status, p.err = p.node.Submit(p.ctx, p.origin, p.tx.Raw, p.level)
		}
		p.ready()
	}()
}

// Result is what Submit would return, once ready was called.
func (p *pending) Result() (*notaryv1.TransactionStatus, error) {
	if p.status != nil || p.err != nil {
		return p.status, p.err
	}
	return p.Status(p.ctx), nil
}

// Status is where the transaction stands.
func (p *pending) Status(ctx context.Context) *notaryv1.TransactionStatus {
	return p.node.sh.status(ctx, p.f)
}

// Leave ends the wait; false says that ready was called, or will be.
func (p *pending) Leave() bool { return p.f != nil && p.f.leave(p) }
