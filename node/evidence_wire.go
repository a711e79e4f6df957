package node

// wireEvidence makes the owners of what convicts, takes up what an earlier life kept, and connects them with those
// who hear of contradictions.
func (sh *shell) wireEvidence() error {
	sh.archive = newArchive(sh.genesis.ID, sh.self, sh.store, sh.log, sh.metrics.evidence)
	sh.archive.publish, sh.archive.list, sh.archive.peer = sh.publishEvidence, sh.batcher.prove, sh.peerOf
	sh.witness = newWitness(sh.group, sh.store, sh.archive, sh.log, sh.metrics.evidence)
	sh.witness.pull, sh.witness.after, sh.witness.fail = sh.fetcher.wantRange, sh.alarms.after, sh.fail
	sh.turnstile = newTurnstile(evidenceBurst, evidenceWindow)
	sh.witness.overhear, sh.witness.rules = sh.counting.overhear, sh.rules
	sh.counting.tell(sh.witness.hear)
	sh.arena.watch = sh.witness.watch
	sh.observer.suspect, sh.observer.back = sh.witness.suspect, sh.witness.back
	return sh.archive.restore()
}
