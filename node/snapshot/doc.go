// Package snapshot is the pure part of snapshots: what was final at a time by signed statements alone (Cut), the
// pieces that it is cut into, the manifest that names them, and whose word is enough to begin from one
// (docs/spec/network.md, section 4; ADR 17).
//
//	maker:  cut := NewCut(T) ... cut.Out()                what is final here and was not yet at T
//	        packer := NewPacker(...) ... manifest          everything else, in pieces
//	        Sign(key, manifest)                            this node's word, which anybody may ask for
//	joiner: Choose(offers)                                 the newest that more than 2/3 of the weight stands behind
//	        DecodeManifest, Unpacker.Piece ...             pieces by their hashes, from anybody
//
// The package is pure: no clock, no goroutine, no lock, no I/O, nothing random.
package snapshot
