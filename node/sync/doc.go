// Package sync finds which ids another node has and this one lacks, by range-based set reconciliation
// (A. Meyer, "Range-Based Set Reconciliation", 2022), over sets of 32-byte ids.
//
// One side asks, the other answers and keeps nothing in between:
//
//	s := NewSession(set, limits)
//	for asked := s.Next(); asked is not empty; asked = s.Next()
//	    reply := Answer(set of the peer, asked, limits)     at the peer
//	    missing := s.Take(reply)                            the peer has them, this side lacks them
//
// The asker sends ranges of the id space, each with a digest of what it has there, first one range over
// everything. For each of them the answerer
//
//   - says nothing where its own digest is the same,
//   - lists its ids where they are few (Limits.Leaf),
//   - and else sends the digests of the 16 parts of the range, of which the asker asks on for those that
//     differ from its own.
//
// A range is split at even positions of the id space, not at even counts. Both sides, and the validation
// of a reply, know the parts from the bounds alone; no store needs order statistics; and every range of a
// session is a hexadecimal prefix, a node of the tree that Table keeps. Ids are hashes, so the parts are
// even in count too. Who grinds ids to make one part full pays 16 times as much work for each level, and
// gains one more round of 16 digests by it.
//
// With n ids at the peer and d differences a session takes log16(n/Leaf) + 2 rounds as long as 16·d digests
// fit a message, and at most about 16·d·log16(n/Leaf) digests and Leaf·d ids in all.
//
// # What a peer can do
//
// Session.Take refuses a reply that is not exactly of the shape above, and a session ends after so many
// rounds and bytes. Within that a peer can list ids of its invention, each of which costs the caller one fetch
// that fails; and it can say that ranges are the same, which no one can tell from a peer that has no more.
// So does a collision of digests (Fingerprint). All this delays a repair until another peer is asked. It
// makes nothing final: what is fetched by an id is verified as if it had come by itself.
//
// The sets may grow while a session is under way.
//
// The package is pure: no clock, no goroutine, no lock, no I/O, nothing random.
package sync
