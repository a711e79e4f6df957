package node

import (
	"context"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// Limits of the questions about rivals of what is final.
const (
	probesAtOnce  = 2
	rivalsInProbe = 4
)

// Messages to the witness about final signatures.
type (
	// finalsHeard are checked signatures of one statement.
	finalsHeard struct {
		tx     domain.Hash
		finals []observation.FinalSignature
	}
	// rivalFinals are those that members also gave for a rival.
	rivalFinals struct {
		finalsHeard
		rival finalsHeard
	}
)

// hearFinals reports final signatures that were collected for a transaction that is final here.
func (w *witness) hearFinals(tx domain.Hash, finals []observation.FinalSignature) {
	w.tell(finalsHeard{tx, finals})
}

// probe asks members that hold a contested transaction final for their signatures of its rivals too, of at most
// rivalsInProbe. An honest node gives none. The questions are asked beside the witness, few at a time; what there is no
// room for is lost.
func (w *witness) probe(ctx context.Context, m finalsHeard) {
	for _, rival := range w.rivalsOf(m.tx) {
		select {
		case w.probing <- struct{}{}:
		default:
			w.metrics.unheard.Inc()
			return
		}
		w.asking.Go(func() {
			defer func() { <-w.probing }()
			if finals := w.ask(ctx, rival); len(finals) > 0 {
				w.tell(rivalFinals{m, finalsHeard{rival, finals}})
			}
		})
	}
}

// rivalsOf are the watched transactions that conflict with one that is watched.
func (w *witness) rivalsOf(tx domain.Hash) (rivals []domain.Hash) {
	body := w.bodies.of[tx]
	if body == nil {
		return nil
	}
	for id, other := range w.bodies.of {
		if id == tx {
			continue
		}
		// Bodies that are watched have been decoded, so they read well.
		if conflict, err := observation.Conflict(body, other); err == nil && conflict {
			if rivals = append(rivals, id); len(rivals) == rivalsInProbe {
				break
			}
		}
	}
	return rivals
}

// confront makes evidence against those who hold two rivals final.
func (w *witness) confront(m rivalFinals) error {
	for i := range m.finals {
		for j := range m.rival.finals {
			a, b := &m.finals[i], &m.rival.finals[j]
			if a.Chain() != b.Chain() || w.archive.holds(a.Chain(), conflictingFinal) {
				continue
			}
			e, err := observation.ContradictingFinals(*a, *b, w.bodies.of[a.Tx], w.bodies.of[b.Tx])
			if err := w.conclude(e, err, "key", a.Key, "rule", kindName(conflictingFinal)); err != nil {
				return err
			}
		}
	}
	return nil
}
