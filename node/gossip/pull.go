package gossip

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
)

var (
	// ErrMissing says that some of what was asked for could not be had from any candidate. What was
	// found is returned all the same.
	ErrMissing = errors.New("not all found")
	// ErrRequest says that a pull asks for nothing, or for more than one request may name.
	ErrRequest = errors.New("invalid pull")
)

// Pulled is a transaction that was asked for and passed its check. The bytes are the caller's.
type Pulled struct {
	ID         domain.Hash
	Raw, Proof []byte
}

// PulledObservation is an observation that was asked for and passed its check. The bytes are the caller's.
type PulledObservation struct {
	Height uint64
	Raw    []byte
}

// PullTransactions asks the candidates, in their order, for up to MaxPullItems transactions by id; with
// proofs where they are final, if withProofs is set. No candidates means the connected peers in best
// standing. The next candidate is asked when one did not have everything, or is silent for
// Config.PullHedge.
//
// check verifies what came, as far as the caller needs to believe it, and returns its id; it is never
// called from two goroutines at once, nor after the return. An error of it, or an id that was not asked
// for, costs the answerer its standing and ends its answer.
//
// The result is in the order of ids. The error is nil when all were found, else ErrMissing or that of ctx.
func (n *Net) PullTransactions(ctx context.Context, candidates []domain.PublicKey, ids []domain.Hash, withProofs bool,
	check func(raw, proof []byte) (domain.Hash, error)) ([]Pulled, error) {
	if len(ids) == 0 || len(ids) > MaxPullItems {
		return nil, fmt.Errorf("%w: %d ids", ErrRequest, len(ids))
	}
	w := newWant[domain.Hash, Pulled](ids)
	attempt := func(ctx context.Context, key domain.PublicKey) bool {
		return until(w.missing, func(asked []domain.Hash) (size int, ok bool) {
			request := make([]byte, 0, len(asked)*(domain.Size+2)+2)
			for _, id := range asked {
				request = appendBytes(request, tag1Bytes, id[:])
			}
			if withProofs {
				request = appendUint(request, tag2Varint, 1)
			}
			response, ok := n.exchange(ctx, pullTx, key, request)
			if !ok {
				return 0, false
			}
			return len(response), n.credit(key, w.addAll(asked, response, func(b []byte) (domain.Hash, Pulled, error) {
				var p Pulled
				for f := range canonical.Fields(b) {
					if f.Number == 1 {
						p.Raw = f.Bytes
					} else {
						p.Proof = f.Bytes
					}
				}
				if p.Proof != nil && !withProofs {
					return p.ID, p, errUnasked
				}
				var err error
				p.ID, err = check(p.Raw, p.Proof)
				return p.ID, p, err
			}))
		})
	}
	n.ask(ctx, n.candidates(candidates), attempt)
	return w.close(ctx, ids)
}

// PullObservations asks the candidates for a range of one chain, as PullTransactions does for
// transactions. check verifies an observation, including that it belongs to that chain, and returns its
// height. The result is by ascending height.
func (n *Net) PullObservations(ctx context.Context, candidates []domain.PublicKey, r Range,
	check func(raw []byte) (height uint64, err error)) ([]PulledObservation, error) {
	if !r.valid() {
		return nil, fmt.Errorf("%w: heights %d to %d", ErrRequest, r.From, r.To)
	}
	heights := make([]uint64, 0, r.To-r.From+1)
	for i := range r.To - r.From + 1 {
		heights = append(heights, r.From+i)
	}
	w := newWant[uint64, PulledObservation](heights)
	attempt := func(ctx context.Context, key domain.PublicKey) bool {
		return until(w.missing, func(asked []uint64) (size int, ok bool) {
			rest := r
			rest.From, rest.To = asked[0], asked[len(asked)-1]
			response, ok := n.exchange(ctx, pullObs, key, rest.encode())
			if !ok {
				return 0, false
			}
			last, first := uint64(0), true
			return len(response), n.credit(key, w.addAll(heights, response, func(b []byte) (uint64, PulledObservation, error) {
				h, err := check(b)
				if err == nil && (h < rest.From || h > rest.To || (h <= last && !first)) {
					err = errUnasked
				}
				last, first = h, false
				return h, PulledObservation{Height: h, Raw: b}, err
			}))
		})
	}
	n.ask(ctx, n.candidates(candidates), attempt)
	return w.close(ctx, heights)
}

// PullHeads asks one peer for the newest height of every chain that it holds. A claim: nothing in it is
// proven until the observations are pulled.
func (n *Net) PullHeads(ctx context.Context, key domain.PublicKey) ([]Head, error) {
	response, ok := n.exchange(ctx, pullHeadsP, key, nil)
	if !ok {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("%w: no heads from %s", ErrMissing, key)
	}
	var heads []Head
	for f := range canonical.Fields(response) {
		var h Head
		var keyed, hashed bool
		for g := range canonical.Fields(f.Bytes) {
			switch g.Number {
			case 1:
				h.Key, keyed = domain.PublicKey(g.Bytes), true
			case 2:
				h.SigningEpoch = uint32(g.Value)
			case 3:
				h.Height = g.Value
			case 4:
				h.Hash, hashed = domain.Hash(g.Bytes), true
			}
		}
		if !keyed || !hashed {
			n.Penalise(key, OffenceWrong)
			return nil, fmt.Errorf("%w: heads of %s without key or hash", ErrMissing, key)
		}
		heads = append(heads, h)
	}
	return heads, nil
}

// errUnasked says that an answer holds what was not asked for, or holds it twice or out of order.
var errUnasked = errors.New("not what was asked for")

// want collects the answers to one pull from several peers.
type want[K comparable, V any] struct {
	mu     sync.Mutex
	keys   []K // in the order asked
	found  map[K]V
	closed bool
}

func newWant[K comparable, V any](keys []K) *want[K, V] {
	return &want[K, V]{keys: keys, found: make(map[K]V, len(keys))}
}

// missing lists the keys not yet found, in order, none twice.
func (w *want[K, V]) missing() []K {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]K, 0, len(w.keys)-len(w.found))
	seen := make(map[K]struct{}, len(w.keys))
	for _, k := range w.keys {
		_, have := w.found[k]
		if _, twice := seen[k]; !have && !twice {
			out = append(out, k)
			seen[k] = struct{}{}
		}
	}
	return out
}

// addAll verifies the items of a response one after the other and keeps those still missing. An error is
// the answerer's fault, and what came before it in the answer is kept.
func (w *want[K, V]) addAll(asked []K, response []byte, verify func([]byte) (K, V, error)) error {
	allowed := make(map[K]bool, len(asked))
	for _, k := range asked {
		allowed[k] = true
	}
	for f := range canonical.Fields(response) {
		if err := w.add(allowed, f.Bytes, verify); err != nil {
			return err
		}
	}
	return nil
}

func (w *want[K, V]) add(allowed map[K]bool, item []byte, verify func([]byte) (K, V, error)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return nil
	}
	k, v, err := verify(item)
	if err != nil {
		return err
	}
	if !allowed[k] {
		return errUnasked
	}
	allowed[k] = false // once per answer
	if _, have := w.found[k]; !have {
		w.found[k] = v
	}
	return nil
}

// close ends the collection and returns what was found in the order of keys.
func (w *want[K, V]) close(ctx context.Context, keys []K) ([]V, error) {
	left := len(w.missing())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	out := make([]V, 0, len(w.found))
	for _, k := range keys {
		if v, ok := w.found[k]; ok {
			out = append(out, v)
			delete(w.found, k)
		}
	}
	switch {
	case left == 0:
		return out, nil
	case ctx.Err() != nil:
		return out, ctx.Err()
	default:
		return out, fmt.Errorf("%w: %d missing", ErrMissing, left)
	}
}
