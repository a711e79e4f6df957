package observation

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// MaxFinalBytes bounds an encoded final signature.
const MaxFinalBytes = 512

var finalSchema = canonical.MustCompile(&notaryv1.FinalSignature{}, MaxFinalBytes)

// FinalStatement is what the signers of a compact proof have in common: that a transaction is final. Who
// says so holds it final; Link and Round are those of the proof that is made of it, and say with which group
// it counts and which quorum its maker saw (docs/spec/proof.md, section 9).
type FinalStatement struct {
	Network, Link domain.Hash
	Tx            domain.Hash
	Round         uint32
}

// Hash is H("notary/final/v1", network || link || transaction id || round).
func (s *FinalStatement) Hash() domain.Hash {
	return domain.Sum(domain.TagFinal, s.Network[:], s.Link[:], s.Tx[:], binary.BigEndian.AppendUint32(nil, s.Round))
}

// FinalSignature is a node's share of a compact proof: its BLS signature over the common statement, and
// one of its node key, by which it stands for the other. Two of them for rivals convict the node.
type FinalSignature struct {
	FinalStatement
	Key          domain.PublicKey
	SigningEpoch uint32
	// Node is by Key over the statement and the signing epoch.
	Node domain.Signature
	// Share is by the BLS key that the group lists beside Key; zero in evidence.
	Share bls.Signature
}

// SignFinal says that a transaction is final. It must be so on the signer's disk: that is for ever, so no
// record of what was signed has to be kept, and no two rivals can both be.
func SignFinal(s FinalStatement, node domain.PrivateKey, signingEpoch uint32, key bls.PrivateKey) FinalSignature {
	f := FinalSignature{FinalStatement: s, Key: node.Public(), SigningEpoch: signingEpoch}
	f.Node = domain.Sign(node, domain.TagFinal, s.Network, f.nodeHash())
	f.Share = bls.Sign(key, domain.TagFinal, s.Network, s.Hash())
	return f
}

// nodeHash is what the node key signs. The signing epoch is in it, since evidence holds within one alone.
func (f *FinalSignature) nodeHash() domain.Hash {
	h := f.Hash()
	return domain.Sum(domain.TagFinal, h[:], binary.BigEndian.AppendUint32(nil, f.SigningEpoch))
}

// Chain is who signed.
func (f *FinalSignature) Chain() ChainID { return ChainID{Key: f.Key, SigningEpoch: f.SigningEpoch} }

// Check is the signature of the node key, to be verified. That of the BLS key is verified in the sum.
func (f *FinalSignature) Check() domain.Check {
	return domain.Check{Key: f.Key, Tag: domain.TagFinal, Network: f.Network, Hash: f.nodeHash(), Signature: f.Node}
}

// Encode is the canonical encoding; without a share where there is none.
func (f *FinalSignature) Encode() []byte {
	b := appendBytes(nil, 1, f.Network[:])
	b = appendBytes(b, 2, f.Key[:])
	b = appendVarint(b, 3, uint64(f.SigningEpoch))
	b = appendBytes(b, 4, f.Link[:])
	b = appendBytes(b, 5, f.Tx[:])
	b = appendVarint(b, 6, uint64(f.Round))
	b = appendBytes(b, 7, f.Node[:])
	if f.Share != (bls.Signature{}) {
		b = appendBytes(b, 8, f.Share[:])
	}
	return b
}

// DecodeFinal reads the canonical encoding of a final signature with its share. No signature is checked.
func DecodeFinal(b []byte) (f FinalSignature, err error) {
	if err := finalSchema.Check(b); err != nil {
		return f, err
	}
	return decodeFinal(b, true)
}

func decodeFinal(b []byte, withShare bool) (f FinalSignature, err error) {
	parts := [9][]byte{}
	for x := range canonical.Fields(b) {
		switch x.Number {
		case 3:
			f.SigningEpoch = uint32(x.Value)
		case 6:
			f.Round = uint32(x.Value)
		default:
			parts[x.Number] = x.Bytes
		}
	}
	for number, name := range []string{1: "network", 2: "node_key", 4: "link", 5: "transaction_id", 7: "node_signature"} {
		if name != "" && parts[number] == nil {
			return f, missing(name)
		}
	}
	switch share := parts[8]; {
	case withShare && share == nil:
		return f, missing("signature")
	case !withShare && share != nil:
		return f, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "signature", "only that of the node key matters here")
	case withShare:
		f.Share = bls.Signature(share)
		if f.Share == (bls.Signature{}) {
			return f, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "signature", "zeros")
		}
	}
	f.Network, f.Key, f.Link = domain.Hash(parts[1]), domain.PublicKey(parts[2]), domain.Hash(parts[4])
	f.Tx, f.Node = domain.Hash(parts[5]), domain.Signature(parts[7])
	return f, nil
}
