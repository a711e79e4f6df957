// Package trust turns everybody's labels into weights (docs/trust.md).
//
// A label is one peer's public score of another. From all labels any node computes any peer's relative
// vector: a View of the labels outward from that peer (DATT), a Filter and a bias towards seeds, and
// EigenTrust over the labels that are left. The aggregate of the members' relative vectors, each counted
// by the weight of its member, is what the next group is made of; Step bounds how far it may move.
// Margin, Explain and Simulate say what a weight rests on and what would move it.
//
// Floats live inside this package only. What leaves it for a decision is quantised to integers that sum
// to exactly 1e9. Every sum is taken in one fixed order and never fused, so that nodes agree.
//
// The package is pure: no clock, no goroutine (but for trust/sparse), no random source, no I/O.
package trust
