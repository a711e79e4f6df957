// Package node is the shell around the pure core: it owns the goroutines, timers, keys, disk and network
// of one notary, and performs the core's effects in a fixed order.
//
// Every piece of mutable state has one owner; the rest send it messages through bounded queues:
//
//	intake       decoding, limits, admission; starts a flight for each new transaction
//	flight       one transaction from arrival to FINAL or REJECTED, a goroutine each
//	verifier     batches of signatures across transactions and connections, before flights begin
//	contention   outpoint -> claimants
//	counting     votes, sharded by transaction; wakes a flight on milestones only, and asks for ACCEPTED where it may
//	batcher      this node's observation chain and the vote guard: the only signer of votes
//	committer    the live set: group commit of final transactions
//	observer     peers' chains; has gaps filled
//	witness      votes that contradict each other, and forks; makes evidence of them
//	fetcher      pulls what is missing
//
// Queues that fill push back towards whoever brings new work and never towards a network reader: flights
// wait for owners, owners never wait for flights (mailbox.go).
package node
