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

// Pieces divides the leaves that are to be signed at once into the leaves of consecutive observations, of which the first may
// have most and the others piece at most. first are those that may stand before all others, later the others, whose order
// is kept: an ACCEPTED must not come to stand behind a PENDING for a rival in a higher round, which is evidence
// (docs/spec/evidence.md). Where few come first, what is left over of the others goes with them; where there are none at all,
// there is one observation without leaves.
func Pieces(first, later []Leaf, piece, most int) (out [][]Leaf) {
	piece = min(piece, most)
	if over := len(later) % piece; len(first)+over <= piece {
		first, later = append(first, later[:over]...), later[over:]
	}
	if out = slices.Collect(slices.Chunk(first, most)); len(out)+len(later) == 0 {
		return [][]Leaf{nil}
	}
	return slices.AppendSeq(out, slices.Chunk(later, piece))
}
