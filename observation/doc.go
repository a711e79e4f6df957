// Package observation is what a node signs and what can be shown with it: leaves and their merkle
// batches, chains of signed headers, acceptance proofs and certificates that are checked offline, and
// evidence against a node key that contradicts itself.
//
// The formats are normative in docs/spec/observation.md, docs/spec/proof.md and docs/spec/evidence.md.
//
// The package is pure: no clock, no lock, no randomness, no I/O. A decoder keeps slices of its input
// instead of copies; input must not be changed afterwards.
package observation
