package observation

import (
	"fmt"
	"math/bits"

	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Compact is an acceptance proof whose signatures are folded into one (docs/spec/proof.md, section 9): nodes
// with more than 2/3 of a group's weight say that they hold one transaction final. It shares memory with what it was
// decoded from.
type Compact struct {
	Network domain.Hash
	// GroupEpoch and Link name the group that signed.
	GroupEpoch uint64
	Link       domain.Hash
	// Links lead from a group that the verifier knows to Link, oldest first.
	Links []*Link
	Tx    domain.Hash
	// Raw is the canonical Transaction, or nil; its body hashes to Tx.
	Raw []byte
	// Round in which it became final at whoever made the proof.
	Round uint32
	// Signers is a bitmap of the positions among the voters of the group, from the lowest bit of the first
	// byte on. Its last byte is not zero.
	Signers []byte
	// Signature is the sum of theirs.
	Signature bls.Signature
}

// Statement is what was signed.
func (c *Compact) Statement() FinalStatement {
	return FinalStatement{Network: c.Network, Link: c.Link, Tx: c.Tx, Round: c.Round}
}

// BuildCompact folds final signatures for one statement into a proof; their node signatures have been verified.
// raw is the canonical transaction, or nil. Signatures of others than the voters of the group that list a BLS key,
// and a voter's second, are left out.
//
// Shares are verified in their sum. Where that does not hold, bad are the keys whose own shares do not, and the proof is of
// the rest. ErrNothing of package bls where nobody is left. Whether the weight is enough is for Verify to say.
func BuildCompact(g *group.Group, s FinalStatement, raw []byte, finals []FinalSignature) (c *Compact, bad []domain.PublicKey, err error) {
	if s.Network != g.Network() || s.Link != g.Link() {
		return nil, nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "link", "not of this group")
	}
	shares := make(map[int]*FinalSignature, len(finals))
	for i := range finals {
		f := &finals[i]
		if v, ok := g.Voter(f.Key); ok && f.FinalStatement == s && f.SigningEpoch == g.Voters()[v].SigningEpoch && g.Voters()[v].BLS != nil && shares[v] == nil {
			shares[v] = f
		}
	}
	c = &Compact{Network: s.Network, GroupEpoch: g.Epoch(), Link: s.Link, Tx: s.Tx, Raw: raw, Round: s.Round}
	if err := c.fold(g, shares); err == nil && c.holds(g) {
		return c, nil, nil
	}
	for v, voter := range g.Voters() {
		f := shares[v]
		if f != nil && !bls.Verify(bls.PublicKey(voter.BLS), domain.TagFinal, s.Network, s.Hash(), f.Share) {
			bad = append(bad, voter.Key)
			delete(shares, v)
		}
	}
	if err := c.fold(g, shares); err != nil {
		return nil, bad, err
	}
	return c, bad, nil
}

// fold takes the shares of some voters into the proof.
func (c *Compact) fold(g *group.Group, shares map[int]*FinalSignature) (err error) {
	var signatures []bls.Signature
	c.Signers = nil
	for v := range g.Voters() {
		if f := shares[v]; f != nil {
			for len(c.Signers) <= v/8 {
				c.Signers = append(c.Signers, 0)
			}
			c.Signers[v/8] |= 1 << (v % 8)
			signatures = append(signatures, f.Share)
		}
	}
	c.Signature, err = bls.Aggregate(signatures)
	return err
}

// voters are the positions of the signers, ascending.
func (c *Compact) voters() []int {
	var out []int
	for i, b := range c.Signers {
		for ; b != 0; b &= b - 1 {
			out = append(out, 8*i+bits.TrailingZeros8(b))
		}
	}
	return out
}

// holds reports whether the signature is by all signers, which are voters with BLS keys.
func (c *Compact) holds(g *group.Group) bool {
	var keys []bls.PublicKey
	for _, v := range c.voters() {
		keys = append(keys, bls.PublicKey(g.Voters()[v].BLS))
	}
	s := c.Statement()
	return bls.VerifyAggregate(keys, domain.TagFinal, c.Network, s.Hash(), c.Signature)
}

// check holds the rules that need no group.
func (c *Compact) check() error {
	if n := len(c.Signers); n == 0 {
		return missing("signers")
	} else if c.Signers[n-1] == 0 {
		return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, "signers", "ends in a zero byte")
	}
	if len(c.Raw) > 0 {
		if err := checkRaw(c.Raw, c.Tx); err != nil {
			return err
		}
	}
	return c.checkLinks()
}

// checkLinks holds the links together. The last is proven: a compact proof vouches for no group, since a
// group made up could list BLS keys that cancel those of others, and who checked that somebody has them?
func (c *Compact) checkLinks() error {
	if n := len(c.Links); n > 0 && c.Links[n-1].Proof == nil {
		return refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, fmt.Sprintf("links[%d]", n-1), "a compact proof vouches for no group")
	}
	return c.led().checkLinks()
}

// led is an ordinary proof by the same group, without observations: what links lead to.
func (c *Compact) led() *Proof {
	return &Proof{State: Accepted, Network: c.Network, GroupEpoch: c.GroupEpoch, Link: c.Link, Links: c.Links}
}

// LinkFrom gives a compact proof its links as Proof.LinkFrom does, the last one proven.
func (c *Compact) LinkFrom(known *group.Group, history History) error {
	links, err := c.led().linksFrom(known, history)
	if err != nil {
		return err
	}
	c.Links = links
	return compactSchema.Check(c.Encode())
}

// Verify checks a compact proof as Proof.Verify does an ordinary one: no node and no network are needed. The
// verdict has no times, since none are signed. BLS keys are believed to be in the hands of their owners where the group is
// believed.
func (c *Compact) Verify(root Root) (Verdict, error) {
	v := Verdict{State: Accepted, Network: c.Network, GroupEpoch: c.GroupEpoch, Link: c.Link}
	if err := root.Own.valid(); err != nil {
		return v, err
	}
	if err := c.check(); err != nil {
		return v, err
	}
	g, w, err := root.groupOf(c.led())
	v.Links, v.Anchors = w.told, w.found
	if err != nil {
		return v, err
	}
	if g == nil {
		v.Conclusion = NoTrustRoot
		return v, nil
	}
	var votes []vote
	for _, i := range c.voters() {
		if i >= len(g.Voters()) {
			return v, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "signers", "key %d of %d", i, len(g.Voters()))
		}
		if g.Voters()[i].BLS == nil {
			return v, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "signers", "the group lists no BLS key of %s", g.Voters()[i].Key)
		}
		votes = append(votes, vote{voter: i})
	}
	if !c.holds(g) {
		return v, refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, "signature", "not by these %d keys over this statement", len(votes))
	}
	told := TransactionVerdict{ID: c.Tx, Included: len(c.Raw) > 0, Round: c.Round}
	told.tell(g, votes, root.Own)
	v.Conclusion, v.Transactions = told.Conclusion, []TransactionVerdict{told}
	return v, nil
}
