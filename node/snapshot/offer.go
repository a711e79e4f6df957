package snapshot

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// MaxOffers bounds the snapshots that one node offers.
const MaxOffers = 2

// Offer is a member's word for a snapshot: its signature over the hash of the manifest. Link and TimeMS are what it
// says of the manifest, and count only once the manifest says so too.
type Offer struct {
	Manifest  domain.Hash
	Link      domain.Hash
	TimeMS    uint64
	Signature domain.Signature
}

// Sign makes the offer of a node.
func Sign(key domain.PrivateKey, m *Manifest) Offer {
	hash := m.Hash()
	return Offer{Manifest: hash, Link: m.Link, TimeMS: m.TimeMS, Signature: domain.Sign(key, domain.TagSnapshot, m.Network, hash)}
}

// Verify reports whether a node key signed the manifest of an offer.
func (o *Offer) Verify(key domain.PublicKey, network domain.Hash) bool {
	c := domain.Check{Key: key, Tag: domain.TagSnapshot, Network: network, Hash: o.Manifest, Signature: o.Signature}
	return c.Verify()
}

// Is reports whether a manifest is what an offer says of it.
func (o *Offer) Is(m *Manifest) bool {
	return o.Manifest == m.Hash() && o.Link == m.Link && o.TimeMS == m.TimeMS
}

// Choice is a snapshot that a quorum stands behind.
type Choice struct {
	Manifest, Link domain.Hash
	TimeMS         uint64
	Weight         group.Weight
	// Signers stand behind it, ascending.
	Signers []domain.PublicKey
}

// Choose is the newest snapshot for which members with more than 2/3 of the weight gave their word, by the group of the
// link that they name. Offers are verified by the caller; groupAt is nil for a link that it cannot verify, and for one
// that another had followed by that time: the word of a group counts for its own time, since its keys may be anybody's
// later. Of two at one time the one of the lower hash is taken; whichever it is, an honest member is among its signers.
func Choose(offers map[domain.PublicKey][]Offer, groupAt func(link domain.Hash, timeMS uint64) *group.Group) (best Choice, ok bool) {
	type named struct {
		manifest, link domain.Hash
		timeMS         uint64
	}
	signers := make(map[named][]domain.PublicKey)
	for key, list := range offers {
		for i := range list {
			n := named{list[i].Manifest, list[i].Link, list[i].TimeMS}
			if !slices.Contains(signers[n], key) {
				signers[n] = append(signers[n], key)
			}
		}
	}
	for n, keys := range signers {
		g := groupAt(n.link, n.timeMS)
		if g == nil {
			continue
		}
		c := Choice{Manifest: n.manifest, Link: n.link, TimeMS: n.timeMS, Signers: keys}
		for _, key := range keys {
			c.Weight += g.Share(key)
		}
		if group.Quorum(c.Weight) && (!ok || c.before(&best)) {
			best, ok = c, true
		}
	}
	slices.SortFunc(best.Signers, domain.PublicKey.Compare)
	return best, ok
}

// before reports whether c is taken rather than d: the newer one first.
func (c *Choice) before(d *Choice) bool {
	return cmp.Or(cmp.Compare(d.TimeMS, c.TimeMS), c.Manifest.Compare(d.Manifest), c.Link.Compare(d.Link)) < 0
}
