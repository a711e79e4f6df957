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
// so that what is final stays final whatever the rest of this node does. Claims find rivals.
//
// The package is pure: no clock, no goroutine, no I/O, nothing random. What it decides is a function of
// the set of votes that it was given.
package conflict
