package observation

import "slices"

// PieceLeaves is how many leaves an observation may have whose ACCEPTED leaves are meant to be proven, in a group of so many
// voters: with equal weights an acceptance proof then takes at most 1.2 kB at 4 voters and 5 kB at 20, each level of the tree
// being 32 bytes in each edge of a quorum (docs/spec/proof.md, section 6). Every further observation costs every other
// voter a signature and 260 bytes. So beyond 20 voters, where the compact form is the small one, they grow with the number of
// voters, and what they take of a node for each transaction does not.
func PieceLeaves(voters int) int {
	const many, small = 20, 32
	if voters <= 7 {
		return 64
	}
	leaves := small
	for leaves*(many-1) < small*(voters-1) {
		leaves *= 2
	}
	return leaves
}

// Row gathers the leaves that are to be signed at once, each into its place; the zero Row has none.
type Row struct {
	first []Leaf // that may stand before all others
	later []Leaf // the votes whose order is kept
}

// Add takes in a leaf. What others signed, and PENDING votes of round 0, may come before all else. Of the other votes the order
// is kept: an ACCEPTED must not come to stand behind a PENDING for a rival in a higher round, which is evidence (docs/spec/evidence.md).
func (r *Row) Add(l Leaf) {
	if l.State == Seen || l.State == Pending && l.Round == 0 {
		r.first = append(r.first, l)
	} else {
		r.later = append(r.later, l)
	}
}

// Len is how many leaves there are.
func (r *Row) Len() int { return len(r.first) + len(r.later) }

// First is how many of the leaves come before all others.
func (r *Row) First() int { return len(r.first) }

// Reset forgets all leaves and keeps their memory.
func (r *Row) Reset() { r.first, r.later = r.first[:0], r.later[:0] }

// Pieces divides the leaves into those of consecutive observations, of which the first may have most and the others piece at
// most. Where few come first, what is left over of the others goes with them; where there are none at all, there is one
// observation without leaves. They are valid until the next Add or Reset.
func (r *Row) Pieces(piece, most int) (out [][]Leaf) {
	piece = min(piece, most)
	first, later := r.first, r.later
	if over := len(later) % piece; len(first)+over <= piece {
		first, later = append(first, later[:over]...), later[over:]
	}
	if out = slices.Collect(slices.Chunk(first, most)); len(out)+len(later) == 0 {
		return [][]Leaf{nil}
	}
	return slices.AppendSeq(out, slices.Chunk(later, piece))
}
