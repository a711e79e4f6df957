// Package store keeps what a node must not forget, in one pebble directory (docs/spec/store.md): the
// live outputs, the transactions and how they became final, this node's votes, and the observations
// of every chain it follows.
//
// Four promises hold across a crash at any instant:
//
//   - CommitFinal and SaveVotes each write one batch, synced before they return: all of it is there
//     after a crash, or nothing.
//   - SaveObservations does not wait for the disk, yet whatever a later synced batch refers to is
//     there when that batch is: there is one log, and it is cut only at its end.
//   - What is looked up by id, outpoint or address follows from the ledger that CommitFinal writes. It is in memory first and on disk
//     later, never ahead of the ledger, and is read from that again after a crash (index).
//   - What was handed out with a cursor (FinalLog, AddressLog) was on disk first, so that no cursor
//     ever names two different entries.
//
// A store that failed to write stays failed: every later call returns ErrStoreFailed, and the node
// is to exit. It never goes on with a store that it cannot trust.
//
// No type of pebble appears in the API, but for the file system that tests put under it. All methods are safe for use by several goroutines.
package store
