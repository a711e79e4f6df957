// Package growth measures how what a transaction costs one node grows: with the number of live outputs, and with the
// number of peers in the group.
//
// The node measured is a member: the production packages in the order in which package node calls them, less sockets,
// goroutines and queues. It decodes, verifies and judges transactions; decodes, verifies, follows and stores the
// observations of all others; counts every vote; votes, signs and syncs its own; and commits what is final to a real
// store on a real disk. The others of the group are signatures and bytes that were made before the clock starts: real
// keys, real merkle batches, the leaves that real nodes would list.
//
// Processor time is what the kernel charges, by the part of the work (Parts) on the one goroutine that does it, and for
// the whole process, so that the store's flushes and compactions and the collector are in it.
package growth
