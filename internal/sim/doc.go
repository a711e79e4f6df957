// Package sim runs whole networks of nodes on one seeded heap of events: the production cores (conflict,
// node/lifecycle, utxo, observation) with a small, faulty world around them instead of sockets, disks
// and clocks. A seed decides everything, so a failure replays.
//
// The world loses messages and delays them, cuts the network in parts that heal, crashes nodes so that
// all is lost that was not synced, slows disks and turns clocks, and has Byzantine peers (byzantine.go).
// Oracles (oracle.go) watch from outside, with code of their own for what must never happen.
//
// With the build tag planted, bugs can be switched on that the oracles must catch.
package sim
