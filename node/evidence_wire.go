package node

import (
	"fmt"

	"github.com/notarynet/notaryd/observation"
)

// wireEvidence makes the owners of what convicts, takes up what an earlier life kept, and connects them with those
// who hear of contradictions.
func (sh *shell) wireEvidence() error {
	sh.archive = newArchive(sh.genesis.ID, sh.self, sh.store, sh.log, sh.metrics.evidence)
	sh.archive.publish, sh.archive.list, sh.archive.peer = sh.publishEvidence, sh.batcher.prove, sh.peerOf
	sh.witness = newWitness(sh.lineage, sh.store, sh.archive, sh.log, sh.metrics.evidence)
	sh.witness.pull, sh.witness.after, sh.witness.fail = sh.fetcher.wantRange, sh.alarms.after, sh.fail
	sh.turnstile = newTurnstile(evidenceBurst, evidenceWindow)
	sh.witness.overhear, sh.witness.rules = sh.counting.overhear, sh.rules
	sh.counting.tell(sh.witness.hear)
	sh.arena.watch = sh.witness.watch
	sh.observer.suspect, sh.observer.back = sh.witness.suspect, sh.witness.back
	sh.archive.accused, sh.archive.full = sh.accused, sh.space.noted
	if err := sh.archive.restore(); err != nil {
		return err
	}
	if s := sh.store.Signing(); sh.archive.accuses(observation.ChainID{Key: sh.self, SigningEpoch: s.Epoch}) {
		sh.batcher.signs, sh.batcher.convicted = false, true
		sh.ready.say(aboutSigning, "does not vote: its key contradicted itself in this signing epoch (notary evidence); notaryd restore takes a new one")
	}
	return nil
}

// accused has a link made, and ends the node when its own key is shown to have contradicted itself: another machine runs the key, or
// the guard failed. More votes would make more contradictions.
func (sh *shell) accused(chain observation.ChainID) {
	sh.keeper.accused()
	if sh.signs(chain) {
		sh.fail(fmt.Errorf("%w: there is evidence that it contradicted itself in signing epoch %d (notary evidence)",
			ErrSignedElsewhere, chain.SigningEpoch))
	}
}
