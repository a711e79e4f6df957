// Package conflict counts votes, guards this node's own, and settles double spends
// (docs/spec/voting.md).
//
// Tally turns votes into weight, by transaction, round and epoch. Guard remembers every vote of this
// node, by outpoint, and refuses what would break one of
//
//	N1  never PENDING, and never ACCEPTED, for two rivals in one round
//	N2  ACCEPTED(A, r) only on PENDING(A, r) from more than 2/3 of the weight in one epoch
//	N3  ACCEPTED(A, r) locks A's outpoints; PENDING(B, r') for a rival needs a certificate for B between r
//	    and r'. The lock of the highest round holds. It is released when A is rejected
//	N4  never ACCEPTED(A, r) after a PENDING for a rival of A above r
//
// so that what is final stays final whatever the rest of this node does. Claims find rivals, Contests run
// the rounds that decide between them.
//
// # The seam
//
// A transaction lives in its own machine (node/lifecycle) as long as nobody disputes it, and Contests
// hear of it only by a Join, which comes when
//
//   - it has a rival here (Claims), or
//   - votes above round 0 of more than a third of the weight name it: somebody honest sees a rival that is not known here, or
//     has taken it up again in a new epoch, or
//   - it is not final after a few seconds, or the guard refused its vote, or its window is closed: rounds
//     go on for whatever does not end in round 0, or
//   - it is settled here (Join.Final, or a rival of what is) and a vote above its round shows that
//     somebody lacks the outcome.
//
// A Join carries all votes counted so far and this node's own records, and from then on each counted vote
// on the transaction comes as Heard, those of one observation together, this node's own once they are on
// disk. In return Contests ask for votes (CastVote), through the same guard, disk and signer as all others.
// A vote that the guard refuses comes back as Refused. Decided tells who is final and who is rejected by
// that; it only ever says what the tally says too, so a machine may act on either.
//
// Contests keep a mirror of the guard. It is no authority: a vote leaves the node if the node's Guard
// allows it, and by no other way. After a restart everything is rebuilt from the records, the stored votes
// and new Joins. A new epoch comes as NewGroup, with the locks that the hand-over adopted.
//
// # Epochs
//
// A Handover carries locks from one epoch to the next; there is one for each epoch that the node has entered, made when it
// enters, and driven so:
//
//	h := NewHandover(self, signs, group, stated, epochOf)  stated: Enter.Stated of the epoch before
//	for Next(voter) says so: Step(Walked)                each observation of each chain under the link, WalkOf makes it
//	for each of Open(all): Step(Settled or Certified)    now and then while the epoch runs, often once Closing
//	Step(Linked)                                         the link to the next group is final here
//	Step(Again)                                          while Closing, every so often: asks for what is missing
//
//	Close      sign ClosingLeaves, and nothing else under this link ever after; then Walked tells of it
//	NeedChain  pull the chain; NeedLock: pull votes and transaction; HandLink: tell of the link's finality
//	Enter      write Records, Bonds and Stated, synced; then Guard.Restore, Contests.Step(NewGroup), a new Handover
//
// Between Close and Enter the node casts no vote: a vote asked for then waits, and is asked for anew under the next group.
// An OwnVote says in Epoch under which group it was wanted; the caller refuses it under any other.
//
// The package is pure: no clock, no goroutine, no I/O, nothing random. What it decides is a function of
// the set of votes that it was given, not of their order.
package conflict
