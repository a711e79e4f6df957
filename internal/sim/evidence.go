package sim

import (
	"slices"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// conviction is what a node keeps one piece of evidence for.
type conviction struct {
	chain observation.ChainID
	kind  notaryv1.EvidenceKind
}

// watch has the witness look at a transaction, and at all votes on it that this node holds.
func (n *node) watch(tx *utxo.Tx) {
	if _, added := n.witness.Watch(tx.ID, tx.Spends()); added {
		for _, v := range n.overheardOn[tx.ID] {
			n.witnessed(v)
		}
	}
}

// witnessed holds a vote against all others of its chain.
func (n *node) witnessed(v conflict.Vote) {
	for _, b := range n.witness.Hear(&v) {
		n.accuse(b)
	}
}

// accuse builds evidence of two votes from what this node holds.
func (n *node) accuse(b conflict.Breach) {
	if n.disk.evidence[conviction{b.Chain, b.Kind}] != nil {
		return
	}
	var edges [2]observation.Edge
	var bodies [2][]byte
	for i, d := range b.Deeds {
		o, leaf := n.deed(b.Chain, d)
		if o == nil {
			n.violate("n%d heard a vote that it does not hold", n.id)
			return
		}
		edges[i], bodies[i] = n.withSignature(o).Edge(leaf), n.known[d.Tx].Body
	}
	e, err := observation.ContradictingVotes(edges[0], edges[1], bodies[0], bodies[1])
	if err != nil {
		n.violate("n%d cannot build evidence of what its witness found: %v", n.id, err)
		return
	}
	n.convict(e)
}

// deed is the observation that holds a vote, and the leaf.
func (n *node) deed(chain observation.ChainID, d conflict.Deed) (*observation.Observation, int) {
	for _, o := range n.archive[chain.Key][d.Height] {
		if d.Leaf >= o.Header.LeafCount {
			continue
		}
		if l := o.Leaf(int(d.Leaf)); l.Subject == d.Tx && l.State == d.State && l.Round == d.Round {
			return o, int(d.Leaf)
		}
	}
	return nil, 0
}

// forked convicts the signer of two observations at one height.
func (n *node) forked(a, b *observation.Observation) {
	if n.disk.evidence[conviction{a.Header.Chain(), notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN}] != nil {
		return
	}
	signed := func(o *observation.Observation) observation.SignedHeader {
		return observation.SignedHeader{Header: o.Header, Signature: n.withSignature(o).Signature}
	}
	e, err := observation.ForkedChain(signed(a), signed(b))
	if err != nil {
		n.violate("n%d cannot build evidence of a fork: %v", n.id, err)
		return
	}
	n.convict(e)
}

// convict checks evidence, wherever it comes from, keeps it where it says something new, and tells everybody.
func (n *node) convict(e *observation.Evidence) {
	key := conviction{e.Key(), e.Kind}
	if n.disk.evidence[key] != nil {
		return
	}
	if n.judge(e) != nil {
		n.count("evidence refused", 1)
		return
	}
	n.convicted(n, e)
	n.disk.evidence[key] = e
	for to := range n.nodes {
		n.sendEvidence(to, e.Raw)
	}
}

// remind sends a node the evidence that it lacks.
func (n *node) remind(to int) {
	var lacks []*observation.Evidence
	for key, e := range n.disk.evidence {
		if p := n.nodes[to]; p != nil && p.disk.evidence[key] == nil {
			lacks = append(lacks, e)
		}
	}
	slices.SortFunc(lacks, func(a, b *observation.Evidence) int { return a.Hash.Compare(b.Hash) })
	for _, e := range lacks {
		n.sendEvidence(to, e.Raw)
	}
}

// convicts reports whether there is evidence of one of these kinds against a chain.
func (d *disk) convicts(chain observation.ChainID, kinds ...notaryv1.EvidenceKind) bool {
	return slices.ContainsFunc(kinds, func(k notaryv1.EvidenceKind) bool { return d.evidence[conviction{chain, k}] != nil })
}

func (w *world) sendEvidence(to int, raw []byte) {
	if p := w.nodes[to]; p != nil {
		w.after(w.hop(), func() {
			if p.up {
				p.hearEvidence(raw)
			}
		})
	}
}

func (n *node) hearEvidence(raw []byte) {
	e, err := observation.DecodeEvidence(raw)
	if err != nil {
		n.count("evidence refused", 1)
		return
	}
	n.convict(e)
}

// judge verifies evidence, once for all nodes.
func (w *world) judge(e *observation.Evidence) error {
	err, known := w.judged[e.Hash]
	if !known {
		err = e.Verify(w.ledger.genesis.ID)
		w.judged[e.Hash] = err
	}
	return err
}

// withSignature is an observation as its signer really signed it. Signing is dear, so it is done where a third party is
// to be convinced.
func (w *world) withSignature(o *observation.Observation) *observation.Observation {
	signed := w.signed[o.Hash]
	if signed == nil {
		full := *o
		key := w.ledger.keys[w.ledger.nodes[o.Header.Key]]
		full.Signature = domain.Sign(key, domain.TagObservation, o.Header.Network, o.Hash)
		signed = &full
		w.signed[o.Hash] = signed
	}
	return signed
}

// convicted looks at evidence that a node believes.
func (o *oracle) convicted(n *node, e *observation.Evidence) {
	id := o.w.ledger.nodes[e.Key().Key]
	o.w.logf("n%d convicts n%d: %v", n.id, id, e.Kind)
	o.count("convictions", 1)
	if o.w.nodes[id] != nil {
		o.violate("n%d convicts n%d, which is honest: %v", n.id, id, e.Kind)
	}
}

// impunity reports liars that contradicted themselves before a node's eyes and were not convicted there. It looks at all
// pairs of votes that the node holds.
func (o *oracle) impunity(n *node) {
	for id, l := range o.w.liars {
		if l == nil {
			continue
		}
		chain := observation.ChainID{Key: o.w.ledger.keys[id].Public()}
		byCase := make(map[*workload][]placedVote)
		for height, at := range n.archive[chain.Key] {
			if len(at) > 1 && n.disk.evidence[conviction{chain, notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN}] == nil {
				o.violate("n%d does not convict n%d of its fork at height %d", n.id, id, height)
			}
			for _, ob := range at {
				if g := n.byLink[ob.Header.Link]; g == nil || g.Share(chain.Key) == 0 {
					continue // votes that count nowhere
				}
				for i := range int(ob.Header.LeafCount) {
					l := ob.Leaf(i)
					if c := o.caseOf[l.Subject]; c != nil && n.known[l.Subject] != nil && l.State != observation.Abstain {
						byCase[c] = append(byCase[c], placedVote{publicVote{l.Subject, l.State, l.Round}, height, i})
					}
				}
			}
		}
		for _, c := range o.w.cases {
			if kind := contradiction(n, byCase[c]); kind != 0 && !n.disk.convicts(chain, kinds[1:]...) {
				o.violate("n%d does not convict n%d of its votes, as of %v", n.id, id, kind)
			}
		}
	}
}

// kinds of evidence, forks first.
var kinds = []notaryv1.EvidenceKind{
	notaryv1.EvidenceKind_EVIDENCE_KIND_FORKED_CHAIN, notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING,
	notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED, notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING,
}

// placedVote is a vote and its place in a chain.
type placedVote struct {
	publicVote
	height uint64
	leaf   int
}

// contradiction is the kind of some pair of votes that contradict each other, 0 where there is none. Of a chain that
// contradicts itself in several ways a witness promises to find the first.
func contradiction(n *node, votes []placedVote) notaryv1.EvidenceKind {
	for _, a := range votes {
		for _, b := range votes {
			if a.tx == b.tx || !shares(n.known[a.tx], n.known[b.tx]) {
				continue
			}
			earlier := a.height < b.height || a.height == b.height && a.leaf < b.leaf
			switch {
			case a.state == observation.Pending && b.state == observation.Pending && a.round == b.round:
				return notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_PENDING
			case a.state == observation.Accepted && b.state == observation.Accepted && a.round == b.round:
				return notaryv1.EvidenceKind_EVIDENCE_KIND_CONFLICTING_ACCEPTED
			case a.state == observation.Pending && b.state == observation.Accepted && a.round > b.round && earlier:
				return notaryv1.EvidenceKind_EVIDENCE_KIND_ACCEPTED_AFTER_PENDING
			}
		}
	}
	return 0
}

func shares(a, b *utxo.Tx) bool {
	return slices.ContainsFunc(a.Spends(), func(p utxo.Outpoint) bool { return slices.Contains(b.Spends(), p) })
}

// spam makes evidence against an honest node out of what that node really signed, and garbage.
func (l *liar) spam(o *observation.Observation) {
	if l.rng.Intn(4) > 0 {
		return
	}
	l.count(l.kind, 1)
	genuine := l.withSignature(o)
	forged := genuine.Header
	forged.TimeMS++
	hash := forged.Hash()
	mine := domain.Sign(l.ledger.keys[l.id], domain.TagObservation, forged.Network, hash)
	if e, err := observation.ForkedChain(observation.SignedHeader{Header: genuine.Header, Signature: genuine.Signature},
		observation.SignedHeader{Header: forged, Signature: mine}); err == nil {
		l.sendEvidence(l.rng.Intn(len(l.nodes)), e.Raw)
		garbled := slices.Clone(e.Raw)
		garbled[l.rng.Intn(len(garbled))] ^= 1 << l.rng.Intn(8)
		l.sendEvidence(l.rng.Intn(len(l.nodes)), garbled)
	}
	l.libel(genuine)
}

// libel presents two honest votes, of rivals in two rounds or with a body that is not theirs, as a contradiction.
func (l *liar) libel(o *observation.Observation) {
	var edges []observation.Edge
	var bodies [][]byte
	for i := range int(o.Header.LeafCount) {
		if tx := l.txs[o.Leaf(i).Subject]; tx != nil {
			edges, bodies = append(edges, o.Edge(i)), append(bodies, tx.Body)
		}
	}
	if len(edges) < 1 {
		return
	}
	other := edges[0]
	other.Leaf.Subject[0] ^= 1
	if e, err := observation.ContradictingVotes(edges[0], other, bodies[0], bodies[0]); err == nil {
		l.sendEvidence(l.rng.Intn(len(l.nodes)), e.Raw)
	}
}
