package node

import (
	"context"
	"sync"

	"github.com/notarynet/notaryd/node/lifecycle"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// Pending is a transaction that is waited for without a goroutine, as the API knows it (api.Pending).
type Pending = interface {
	Result() (*notaryv1.TransactionStatus, error)
	Status(ctx context.Context) *notaryv1.TransactionStatus
	Leave() bool
}

// Begin takes a transaction in as Submit does: ready is called, once and from any goroutine, when it has reached a level, is
// rejected, or the node ends. It must not block, and may be called before Begin returns. With shed, Begin does not wait for a
// place: the transaction does, and what is told when there is none is what Result returns.
func (n *Node) Begin(ctx context.Context, origin string, raw []byte, level notaryv1.WaitLevel, shed bool, ready func()) (Pending, error) {
	tx, err := n.sh.received(ctx, raw)
	if err != nil {
		return nil, err
	}
	p := &pending{node: n, ctx: ctx, origin: origin, tx: tx, level: level, ready: ready}
	var f *flight
	if shed {
		f, p.guest, err = n.sh.arrive(tx, client(origin), false)
	} else {
		f, err = n.sh.intake(ctx, tx, client(origin), false)
	}
	switch {
	case err != nil:
		if p.status, err = n.sh.refused(tx.ID, err); err != nil {
			return nil, err
		}
		ready() // it is final
	case p.guest != nil:
		go p.queue()
	default:
		p.watch(f)
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
	guest  *guest // of one that waits for a place, or did

	mu   sync.Mutex
	left bool
	f    *flight // once it has a place

	// What Result returns, where it had to be waited for.
	status *notaryv1.TransactionStatus
	err    error
}

// queue waits for a place.
func (p *pending) queue() {
	sh := p.node.sh
	err := sh.admission.wait(p.ctx, p.guest)
	if err == nil {
		p.watch(sh.board(p.tx, client(p.origin), false))
		return
	}
	p.status, p.err = sh.refused(p.tx.ID, err)
	p.ready()
}

// watch has ready called when a flight is where it is waited for.
func (p *pending) watch(f *flight) {
	p.mu.Lock()
	p.f = f
	left := p.left
	waits := !left && f.await(vigil{p.level, p})
	p.mu.Unlock()
	switch {
	case left:
		p.status, p.err = p.Status(p.ctx), refusal.New(notaryv1.Reason_REASON_WAIT_EXPIRED, "", "the transaction goes on, submit it again to wait on")
		p.ready()
	case !waits:
		state, _ := f.standing()
		p.arrived(state)
	}
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
func (p *pending) Leave() bool {
	p.mu.Lock()
	p.left = true
	f := p.f
	p.mu.Unlock()
	if f == nil && p.guest != nil {
		p.node.sh.admission.quit(p.guest)
	}
	return f != nil && f.leave(p)
}
