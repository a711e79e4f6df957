// Package lifecycle is the machine of one transaction, from arrival to FINAL or REJECTED. It is pure:
// Step takes one input and returns the effects that the shell performs, and the shell's answers come
// back as further inputs. One machine has one owner at a time: the transaction's goroutine, or
// whoever finishes it while that rests (node/finish.go); in the simulator, the simulator.
//
//	Begin -> Look -> Looked -> Verify -> Verified -> Claim -> Claimed -> Support
//	      -> Counted certificate -> Cast ACCEPTED(r) -> Counted final -> Commit -> Committed
//
// Certificates and finality may be counted at any moment, long before this node has the parents; they
// are remembered and acted on as soon as the transaction is known to be valid. A certificate overrides
// windows and delays (docs/spec/voting.md), never signatures or missing parents. When a rival appears,
// the machine stops deciding in round 0 and hands over to the contest; certificates and finality are
// acted on all the same.
package lifecycle
