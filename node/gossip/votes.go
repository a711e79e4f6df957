package gossip

import (
	"context"
	"fmt"
	"sync"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Votes names the votes of one state on one transaction, in one round and under one link.
type Votes struct {
	Tx    domain.Hash
	Round uint32
	// Link is the hash of the link under which the votes count.
	Link domain.Hash
	// State is PENDING (a certificate) or ACCEPTED (what makes the transaction final).
	State notaryv1.VoteState
}

// valid reports whether votes may be asked for.
func (v Votes) valid() bool {
	return v.State == notaryv1.VoteState_VOTE_STATE_PENDING || v.State == notaryv1.VoteState_VOTE_STATE_ACCEPTED
}

// encode is the canonical PullVotesRequest.
func (v Votes) encode() []byte {
	b := appendBytes(make([]byte, 0, 80), tag1Bytes, v.Tx[:])
	b = appendUint(b, tag2Varint, uint64(v.Round))
	b = appendBytes(b, tag3Bytes, v.Link[:])
	return appendUint(b, tag4Varint, uint64(v.State))
}

// decodeVotes reads a PullVotesRequest; false where it is not canonical or names no votes.
func decodeVotes(request []byte) (v Votes, ok bool) {
	if votesReqSchema.Check(request) != nil {
		return v, false
	}
	var named, linked bool
	for f := range canonical.Fields(request) {
		switch f.Number {
		case 1:
			v.Tx, named = domain.Hash(f.Bytes), true
		case 2:
			v.Round = uint32(f.Value)
		case 3:
			v.Link, linked = domain.Hash(f.Bytes), true
		case 4:
			if f.Value > uint64(notaryv1.VoteState_VOTE_STATE_ACCEPTED) {
				return v, false
			}
			v.State = notaryv1.VoteState(f.Value)
		}
	}
	return v, named && linked && v.valid()
}

// PullVotes asks the candidates, in their order, for the observations that hold certain votes, as
// PullTransactions does for transactions. Nobody can know how many there are: the caller says when what came
// is enough, and only then is nobody else asked.
//
// check verifies an observation, including that it holds the vote, and returns who signed it. It is never
// called from two goroutines at once, nor after the return. Each voter's observation is kept once, the first
// that came; two of one voter in one answer are the answerer's fault, like an error of check.
//
// The result is in the order of arrival. The error is nil when check called it enough, else ErrMissing or
// that of ctx.
func (n *Net) PullVotes(ctx context.Context, candidates []domain.PublicKey, v Votes,
	check func(raw []byte) (voter domain.PublicKey, enough bool, err error)) ([][]byte, error) {
	if !v.valid() {
		return nil, fmt.Errorf("%w: votes of state %d", ErrRequest, v.State)
	}
	request := v.encode()
	w := &voteWant{check: check, kept: map[domain.PublicKey]struct{}{}}
	n.ask(ctx, n.candidates(candidates), func(ctx context.Context, key domain.PublicKey) bool {
		for before := 0; ; {
			response, ok := n.exchange(ctx, pullVotes, key, request)
			if !ok {
				return false
			}
			items, err := w.addAll(response)
			found, enough := w.state()
			if !n.credit(key, err) || enough {
				return enough
			}
			// A server starts wherever it likes, so an answer that was cut short is worth
			// another as long as they bring something new.
			full := items == MaxPullItems || len(response) > MaxPullResponse-itemSize(MaxObservation)
			if !full || found == before {
				return false
			}
			before = found
		}
	})
	return w.close(ctx)
}

// voteWant collects the answers to one pull of votes from several peers.
type voteWant struct {
	check func(raw []byte) (domain.PublicKey, bool, error)

	mu     sync.Mutex
	kept   map[domain.PublicKey]struct{}
	found  [][]byte
	enough bool
	closed bool
}

// addAll verifies the observations of an answer one after the other and keeps those of voters not heard
// yet. An error is the answerer's fault, and what came before it in the answer is kept.
func (w *voteWant) addAll(response []byte) (items int, err error) {
	answered := map[domain.PublicKey]struct{}{}
	for f := range canonical.Fields(response) {
		items++
		if err := w.add(answered, f.Bytes); err != nil {
			return items, err
		}
	}
	return items, nil
}

func (w *voteWant) add(answered map[domain.PublicKey]struct{}, raw []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.enough {
		return nil
	}
	voter, enough, err := w.check(raw)
	if err != nil {
		return err
	}
	if _, twice := answered[voter]; twice {
		return errUnasked
	}
	answered[voter] = struct{}{}
	if _, have := w.kept[voter]; !have {
		w.kept[voter] = struct{}{}
		w.found = append(w.found, raw)
	}
	w.enough = enough
	return nil
}

func (w *voteWant) state() (found int, enough bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.found), w.enough
}

func (w *voteWant) close(ctx context.Context) ([][]byte, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	switch {
	case w.enough:
		return w.found, nil
	case ctx.Err() != nil:
		return w.found, ctx.Err()
	default:
		return w.found, fmt.Errorf("%w: votes of %d voters", ErrMissing, len(w.found))
	}
}
