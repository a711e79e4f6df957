package group

import (
	"encoding/binary"
	"math/bits"
	"slices"
	"strconv"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of peer metadata, as in group.proto.
const (
	// MaxPeerBytes bounds the encoding, so that it fits an output.
	MaxPeerBytes = 196_608
	MaxLabels    = 4096
	MaxAddresses = 8
	// MaxScore is the best label, -MaxScore the worst.
	MaxScore = 1000
)

// Peer is one version of what a peer says of itself and of others (docs/spec/group.md). Immutable.
type Peer struct {
	// ID is H("notary/peer/v1", Master).
	ID      domain.Hash
	Master  domain.PublicKey
	Version uint64
	// Keys are strictly ascending; none revokes them all.
	Keys []CertifiedKey
	// Nonce is the proof of work; see Work.
	Nonce uint64
	// Labels are strictly ascending by peer.
	Labels    []Label
	Name      string
	Addresses []string
}

// CertifiedKey is a node key that has agreed to belong to a peer.
type CertifiedKey struct {
	NodeKey
	Membership domain.Signature
	// Possession proves that whoever lists the BLS key holds it; nil without one.
	Possession []byte
}

// Label is a peer's score of another, -MaxScore to MaxScore.
type Label struct {
	Peer  domain.Hash
	Score int32
}

var (
	peerSchema = canonical.MustCompile(&notaryv1.PeerMetadata{}, MaxPeerBytes)
	keySchema  = canonical.MustCompile(&notaryv1.CertifiedKey{}, 256)
)

// PeerID is the id of the peer of a master key.
func PeerID(master domain.PublicKey) domain.Hash { return domain.Sum(domain.TagPeer, master[:]) }

// DecodePeer reads canonical peer metadata and applies the rules that its bytes decide alone.
// Signatures and work are the caller's to check (MembershipCheck, Possessed, Work).
func DecodePeer(b []byte) (*Peer, error) {
	var p notaryv1.PeerMetadata
	if err := peerSchema.Unmarshal(b, &p); err != nil {
		return nil, err
	}
	master, err := hashOf("master_key", p.MasterKey)
	if err != nil {
		return nil, err
	}
	out := &Peer{
		Master: domain.PublicKey(master), Version: p.Version, Nonce: p.WorkNonce, Name: p.Name, Addresses: p.Addresses,
	}
	out.ID = PeerID(out.Master)
	if out.Version == 0 {
		return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "version", "versions start at 1")
	}
	for i, k := range p.Keys {
		c, err := certifiedKey(k)
		if err != nil {
			return nil, refusal.Under(element("keys", i), err)
		}
		if i > 0 && out.Keys[i-1].Key.Compare(c.Key) >= 0 {
			return nil, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, element("keys", i), "not strictly ascending")
		}
		out.Keys = append(out.Keys, c)
	}
	for i, l := range p.Labels {
		if err := out.addLabel(l); err != nil {
			return nil, refusal.Under(element("labels", i), err)
		}
	}
	for i, a := range p.Addresses {
		if a == "" {
			return nil, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, element("addresses", i), "empty")
		}
	}
	return out, nil
}

// element is the path of an element of a list.
func element(list string, i int) string { return list + "[" + strconv.Itoa(i) + "]" }

func hashOf(field string, b []byte) (domain.Hash, error) {
	h, err := domain.HashFrom(b)
	if err != nil || h.IsZero() {
		return h, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, field, "absent, or zeros")
	}
	return h, nil
}

func certifiedKey(k *notaryv1.CertifiedKey) (c CertifiedKey, err error) {
	key, err := hashOf("key.key", k.GetKey().GetKey())
	if err != nil {
		return c, err
	}
	c.NodeKey = NodeKey{Key: domain.PublicKey(key), SigningEpoch: k.Key.SigningEpoch, BLS: k.Key.BlsKey}
	if len(k.Membership) != domain.SignatureSize {
		return c, refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "membership", "absent")
	}
	c.Membership, c.Possession = domain.Signature(k.Membership), k.BlsPossession
	return c, checkPaired(c)
}

// checkPaired: a BLS key and its proof come together.
func checkPaired(c CertifiedKey) error {
	switch {
	case len(c.BLS) == 0 && len(c.Possession) != 0:
		return invalid("bls_possession", "a proof of possession without a BLS key")
	case len(c.BLS) != 0 && len(c.Possession) == 0:
		return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, "bls_possession", "no proof of possession of the BLS key")
	}
	return nil
}

// addLabel refuses a score out of range, a peer that is not above the last, and the peer itself.
func (p *Peer) addLabel(l *notaryv1.Label) error {
	id, err := hashOf("peer_id", l.PeerId)
	switch {
	case err != nil:
		return err
	case l.Score < -MaxScore || l.Score > MaxScore:
		return invalid("score", "%d, want %d to %d", l.Score, -MaxScore, MaxScore)
	case id == p.ID:
		return invalid("peer_id", "a peer does not label itself")
	case len(p.Labels) > 0 && p.Labels[len(p.Labels)-1].Peer.Compare(id) >= 0:
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "peer_id", "not strictly ascending")
	}
	p.Labels = append(p.Labels, Label{id, l.Score})
	return nil
}

// DecodeCertifiedKey reads the canonical encoding of one certified key.
func DecodeCertifiedKey(b []byte) (CertifiedKey, error) {
	var k notaryv1.CertifiedKey
	if err := keySchema.Unmarshal(b, &k); err != nil {
		return CertifiedKey{}, err
	}
	return certifiedKey(&k)
}

// Encode is the canonical encoding.
func (c CertifiedKey) Encode() ([]byte, error) { return canonical.Marshal(c.proto()) }

func (c *CertifiedKey) proto() *notaryv1.CertifiedKey {
	return &notaryv1.CertifiedKey{
		Key:        &notaryv1.NodeKey{Key: c.Key[:], SigningEpoch: c.SigningEpoch, BlsKey: c.BLS},
		Membership: c.Membership[:], BlsPossession: c.Possession,
	}
}

// SortKeys puts certified keys in the order that metadata lists them in.
func SortKeys(keys []CertifiedKey) {
	slices.SortFunc(keys, func(a, b CertifiedKey) int { return a.Key.Compare(b.Key) })
}

// Encode is the canonical encoding. Keys and labels must be ascending already.
func (p *Peer) Encode() ([]byte, error) {
	m := &notaryv1.PeerMetadata{
		MasterKey: p.Master[:], Version: p.Version, WorkNonce: p.Nonce, Name: p.Name, Addresses: p.Addresses,
	}
	for i := range p.Keys {
		m.Keys = append(m.Keys, p.Keys[i].proto())
	}
	for i := range p.Labels {
		m.Labels = append(m.Labels, &notaryv1.Label{PeerId: p.Labels[i].Peer[:], Score: p.Labels[i].Score})
	}
	return canonical.Marshal(m)
}

// Certify signs a node key's membership of a peer.
func Certify(node domain.PrivateKey, signingEpoch uint32, network, peer domain.Hash) CertifiedKey {
	return CertifiedKey{
		NodeKey:    NodeKey{Key: node.Public(), SigningEpoch: signingEpoch},
		Membership: domain.Sign(node, domain.TagMembership, network, peer),
	}
}

// WithBLS adds the BLS key that derives from the node key, and the proof that it is held.
func (c CertifiedKey) WithBLS(node domain.PrivateKey) CertifiedKey {
	key := bls.Derive(node)
	public, proof := key.Public(), bls.Prove(key, node.Public())
	c.BLS, c.Possession = public[:], proof[:]
	return c
}

// MembershipCheck is the signature of the i-th key, to be verified.
func (p *Peer) MembershipCheck(network domain.Hash, i int) domain.Check {
	k := &p.Keys[i]
	return domain.Check{Key: k.Key, Tag: domain.TagMembership, Network: network, Hash: p.ID, Signature: k.Membership}
}

// Possessed is the first key whose BLS key nobody has proven to possess, and -1 where there is none. It takes
// a millisecond or more for each.
func (p *Peer) Possessed() int {
	for i := range p.Keys {
		if k := &p.Keys[i]; len(k.BLS) != 0 && !bls.VerifyPossession(bls.PublicKey(k.BLS), k.Key, bls.Signature(k.Possession)) {
			return i
		}
	}
	return -1
}

// Work is how many zero bits H("notary/work/v1", network || master key || nonce, big-endian) begins with:
// what an identity has cost its owner. It is the same in every version.
func Work(network domain.Hash, master domain.PublicKey, nonce uint64) int {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], nonce)
	h := domain.Sum(domain.TagWork, network[:], master[:], n[:])
	for i, b := range h {
		if b != 0 {
			return 8*i + bits.LeadingZeros8(b)
		}
	}
	return 8 * len(h)
}

// FindWork is the lowest nonce of at least so many zero bits: about 2^bits hashes.
func FindWork(network domain.Hash, master domain.PublicKey, bits int) uint64 {
	nonce := uint64(0)
	for Work(network, master, nonce) < bits {
		nonce++
	}
	return nonce
}
