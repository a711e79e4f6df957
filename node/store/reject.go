package store

import (
	"strings"

	"github.com/notarynet/notaryd/proto/domain"
)

// Reject remembers transactions as refused for good, in one batch. They are no longer pending, and
// the locks on them are released; their votes stay, since a later one may contradict them even so
// (rules N1 and N4). A transaction that is rejected already keeps its first reason; one that is final
// is ErrInconsistent, and nothing is written.
//
// Only the newest Options.MaxRejected rejections are kept; the bytes of a transaction go with its
// rejection. It does not wait for the disk: a vote that builds on a rejection is synced after it.
func (s *Store) Reject(rejected []Rejected) error {
	if len(rejected) == 0 {
		return nil
	}
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.room(s.options.ReserveBytes / 2); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p, err := s.newPlan(nil)
	if err != nil {
		return err
	}
	for i := range rejected {
		if err = p.reject(&rejected[i]); err != nil {
			break
		}
	}
	if err = p.end(err); err != nil {
		return err
	}
	_, err = p.commit(false)
	return err
}

// reject plans one rejection.
func (p *plan) reject(r *Rejected) error {
	w := p.w
	_, final := p.finals[r.Tx]
	if !final {
		var err error
		if final, err = p.s.isFinal(p.probe, r.Tx); err != nil {
			return err
		}
	}
	if final {
		return inconsistent("%s is final and cannot be rejected", r.Tx)
	}
	for i := range r.Released {
		p.release(r, i)
	}
	if _, twice := p.rejected[r.Tx]; !twice {
		if err := p.takeOut(r.Tx); err != nil {
			return err
		}
	}
	again, err := p.knownRejected(r.Tx)
	p.rejected[r.Tx] = struct{}{}
	if err != nil || again {
		return err
	}
	v := rejectedValue{Seq: p.counts.RejectedNext, Rejection: r.Rejection}
	v.Field, v.Detail = cut(v.Field), cut(v.Detail)
	w.key = appendHashKey(w.key[:0], ClassRejected, r.Tx)
	w.value = v.append(w.value[:0])
	w.set(w.key, w.value)
	w.key = appendSequenceKey(w.key[:0], ClassRejectedLog, v.Seq)
	w.value = appendID(w.value[:0], r.Tx)
	w.set(w.key, w.value)
	p.order[v.Seq], p.noted[r.Tx] = r.Tx, struct{}{}
	p.counts.RejectedNext++
	p.counts.Rejected++
	return p.forget()
}

// takeOut plans that a transaction which is rejected is pending no more. Its bytes leave the sheaf.
func (p *plan) takeOut(id domain.Hash) error {
	tx, pending := p.endPending(id)
	if !pending || tx.Sheaf == 0 {
		return nil
	}
	sheaf, err := p.leaving.sheaf(p.probe, tx.Sheaf)
	if err != nil {
		return err
	}
	raw, err := sheaf.raw(id)
	if err != nil {
		return p.s.fail(err)
	}
	p.w.key = appendHashKey(p.w.key[:0], ClassTx, id)
	p.w.value = appendBytes(p.w.value[:0], raw)
	p.w.set(p.w.key, p.w.value)
	if _, known := p.taken[tx.Sheaf]; !known {
		p.taken[tx.Sheaf] = p.counts.RejectedNext
	}
	return nil
}

// release rewrites a vote record whose lock no longer holds. One that is gone stays gone.
func (p *plan) release(r *Rejected, i int) {
	rec := &r.Released[i]
	slot := p.s.votes.find(rec)
	if slot == nil {
		return
	}
	slot.Once = false
	p.leaving.stand(slot, rec.Key())
	value := rec.Value()
	p.w.key = appendVoteKey(p.w.key[:0], rec)
	p.w.set(p.w.key, value[:])
}

// knownRejected reports whether a rejection is remembered, by this batch or before it.
func (p *plan) knownRejected(id domain.Hash) (bool, error) {
	if _, here := p.noted[id]; here {
		return true, nil
	}
	_, known, err := p.placeRejected(id)
	return known, err
}

// placeRejected is the place of a stored rejection, unless this batch has pushed it out.
func (p *plan) placeRejected(id domain.Hash) (seq uint64, known bool, err error) {
	if p.counts.Rejected == 0 {
		return 0, false, nil
	}
	p.w.key = appendHashKey(p.w.key[:0], ClassRejected, id)
	value, ok, err := p.probe.get(p.w.key)
	if err != nil || !ok {
		return 0, false, err
	}
	v, err := decodeRejected(id, value)
	if err != nil {
		return 0, false, p.s.fail(err)
	}
	return v.Seq, v.Seq >= p.counts.RejectedFirst, nil
}

// forget drops the oldest rejections beyond the bound. A sheaf out of which one of them took a transaction goes with it: by its bytes in
// there it would be pending again.
func (p *plan) forget() error {
	w := p.w
	for p.counts.Rejected > uint64(p.s.options.MaxRejected) {
		seq := p.counts.RejectedFirst
		p.counts.RejectedFirst++
		for _, taken := range []map[uint64]uint64{p.s.taken, p.taken} {
			for sheaf, first := range taken {
				if first <= seq {
					p.dissolve[sheaf] = struct{}{}
				}
			}
		}
		w.key = appendSequenceKey(w.key[:0], ClassRejectedLog, seq)
		id, here := p.order[seq]
		if !here {
			value, ok, err := p.probe.get(w.key)
			if err != nil {
				return err
			}
			if !ok {
				continue // it became final after all
			}
			if id, err = decodeID(value); err != nil {
				return p.s.fail(err)
			}
		}
		if _, final := p.finals[id]; final {
			continue // in this very batch: unreject took it out
		}
		w.delete(w.key)
		w.key = appendHashKey(w.key[:0], ClassRejected, id)
		w.delete(w.key)
		delete(p.order, seq)
		delete(p.noted, id)
		p.counts.Rejected--
		if _, decided := p.rejected[id]; decided || !p.pending(id) {
			w.key = appendHashKey(w.key[:0], ClassTx, id)
			w.delete(w.key)
		}
	}
	return nil
}

func (p *plan) pending(id domain.Hash) bool {
	_, pending := p.s.pending.get(id)
	return pending
}

// endPending plans that a transaction is pending no more, and reports whether and where it was.
func (p *plan) endPending(id domain.Hash) (pendingTx, bool) {
	tx, pending := p.s.pending.get(id)
	switch {
	case !pending:
	case tx.Sheaf != 0:
		p.leaving.gone[tx.Sheaf]++
	default:
		p.w.key = appendHashKey(p.w.key[:0], ClassPending, id)
		p.w.take(p.w.key)
	}
	return tx, pending
}

// unreject forgets the rejection of a transaction that is final: a proof outweighs this node's
// judgement. known says that there was one.
func (p *plan) unreject(id domain.Hash) (known bool, err error) {
	if _, here := p.rejected[id]; here {
		return false, inconsistent("%s is rejected and final in one batch", id)
	}
	seq, known, err := p.placeRejected(id)
	if err != nil || !known {
		return false, err
	}
	w := p.w
	w.key = appendHashKey(w.key[:0], ClassRejected, id)
	w.delete(w.key)
	w.key = appendSequenceKey(w.key[:0], ClassRejectedLog, seq)
	w.delete(w.key)
	p.counts.Rejected--
	return true, nil
}

// cut shortens a text for people to maxText bytes of valid UTF-8.
func cut(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "")
}
