// Package epoch decides who is in the next group, and whether a link is right (docs/spec/group.md, section
// 5). It is core: what everybody computes from the same labels and the same evidence is the same.
//
// A State is all that a link is judged by: the present group, the cut (the newest metadata that links have
// read of each peer) and the convicted. Next makes the group that follows, Judge says whether a proposed one
// does, After moves on. Nothing here knows of transactions or votes: that is the shell's part.
package epoch
