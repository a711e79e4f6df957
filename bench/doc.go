// Package bench measures whole networks of real notaryd processes on one machine, and in the same run
// the ceilings of their parts: batch signature verification, hashing, decoding, and a synced commit of
// what a transaction must leave on disk. Absolute times say little about another machine, or this one
// an hour later; the ratio of the two does.
//
// The load is signed before the clock starts and comes from a process of its own. Every transaction
// spends one output and makes one; coins go round and round through addresses of many keys, so that the
// live set keeps its size.
package bench
