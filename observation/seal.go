package observation

import (
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Head is the newest link of one chain: what the next observation builds on.
type Head struct {
	Key          domain.PublicKey
	SigningEpoch uint32
	// Height of the newest observation and its header hash; both zero before the first.
	Height uint64
	Hash   domain.Hash
}

// Draft is an observation of one's own that waits for its signature.
type Draft struct {
	header Header
	hash   domain.Hash
	leaves []byte
}

// Seal makes the observation that follows head, with votes counted in group g. Nothing advances: the
// caller replaces its head once the signed observation is on disk. It panics on what this node must
// never sign: a leaf that is not well-formed, or more than MaxLeaves of them.
//
// No leaves make a heartbeat.
func Seal(head Head, g *group.Group, leaves []Leaf, timeMS uint64) *Draft {
	if len(leaves) > MaxLeaves {
		panic("observation: more leaves than an observation holds")
	}
	d := &Draft{leaves: make([]byte, 0, len(leaves)*LeafSize)}
	for i := range leaves {
		d.leaves = leaves[i].AppendTo(d.leaves)
		if err := checkLeaf(d.leaves[i*LeafSize:]); err != nil {
			panic("observation: sealing a malformed leaf: " + err.Error())
		}
	}
	d.header = Header{
		Network:      g.Network(),
		Key:          head.Key,
		SigningEpoch: head.SigningEpoch,
		Height:       head.Height + 1,
		Previous:     head.Hash,
		GroupEpoch:   g.Epoch(),
		Link:         g.Link(),
		Root:         RootOf(d.leaves),
		LeafCount:    uint32(len(leaves)),
		TimeMS:       timeMS,
	}
	if err := d.header.check(); err != nil {
		panic("observation: sealing on a broken head: " + err.Error())
	}
	d.hash = d.header.Hash()
	return d
}

// Header is what will be signed.
func (d *Draft) Header() Header { return d.header }

// HeaderHash is the hash to sign, under domain.TagObservation and the network of the group.
func (d *Draft) HeaderHash() domain.Hash { return d.hash }

// Sign signs with key, which must be the key of the head.
func (d *Draft) Sign(key domain.PrivateKey) *Observation {
	if key.Public() != d.header.Key {
		panic("observation: signing with another chain's key")
	}
	return d.Signed(domain.Sign(key, domain.TagObservation, d.header.Network, d.hash))
}

// Signed is the complete observation. The signature is not checked.
func (d *Draft) Signed(sig domain.Signature) *Observation {
	header := d.header.Encode()
	// Three tags and lengths take at most ten bytes.
	raw := make([]byte, 0, HeaderSize+domain.SignatureSize+len(d.leaves)+16)
	raw = appendBytes(raw, 1, header[:])
	raw = appendBytes(raw, 2, sig[:])
	raw = appendBytes(raw, 3, d.leaves)
	return &Observation{
		Header:    d.header,
		Hash:      d.hash,
		Signature: sig,
		Leaves:    raw[len(raw)-len(d.leaves):],
		Raw:       raw,
	}
}

// Head is the head of the chain once this observation is its newest.
func (o *Observation) Head() Head {
	return Head{Key: o.Header.Key, SigningEpoch: o.Header.SigningEpoch, Height: o.Header.Height, Hash: o.Hash}
}
