// Package clienttest is a notary network in one process, for tests of wallets and other clients: four
// keys of equal weight that really validate transactions and really sign the observations that proofs
// are made of, behind a NotaryService without disk, peers or rounds. It runs over memory or any listener.
//
// A transaction that is submitted becomes final when somebody waits for it or watches it, so that tests
// see every state in a fixed order and never have to sleep. Faults are asked for by name.
package clienttest
