// Package refverify checks acceptance proofs a second time, written from docs/spec/proof.md alone: it uses
// the standard library only and shares no code with the rest of the project, its own reading of protobuf
// included. Where the two verifiers disagree, one of them or the specification is wrong.
//
// It knows one trust root, a genesis document, and walks links from there. Signatures are checked by crypto/ed25519, whose
// cofactorless verdict is stricter than ZIP-215 on keys and signatures made on purpose with components of
// small order; those of honest signers get the same verdict (docs/spec/proof.md, section 7).
package refverify
