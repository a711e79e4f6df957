package growth

import (
	"fmt"
	"runtime"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/bls"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Proofs are what acceptance proofs of one transaction cost, without links and without the transaction's bytes. Times
// are microseconds of processor, sizes bytes.
type Proofs struct {
	// Edges is how many votes a proof holds. Bytes of a proof of one transaction, Most of the largest, Shared of a proof of all that
	// became final by the same observations, for each of them.
	Edges  float64 `json:"edges"`
	Bytes  float64 `json:"bytes"`
	Most   float64 `json:"most_bytes"`
	Shared float64 `json:"shared_bytes"`
	MakeUS float64 `json:"make_us"`
	// Compact is the bytes of a compact proof, SignUS what each signer spends on it, FoldUS what it costs to fold and
	// check their signatures. CompactWire is what the node that makes it hears from the signers.
	Compact     float64 `json:"compact_bytes,omitempty"`
	SignUS      float64 `json:"compact_sign_us,omitempty"`
	FoldUS      float64 `json:"compact_fold_us,omitempty"`
	CompactWire float64 `json:"compact_wire,omitempty"`
}

// place is where an observation lies.
type place struct {
	chain  observation.ChainID
	height uint64
}

// kept is an observation with its tree.
type kept struct {
	observation *observation.Observation
	tree        *observation.Tree
}

// prover makes proofs from a store, as package node does.
type prover struct {
	net   *kit.Network
	store *store.Store
	trees map[place]*kept

	proofs   [][]byte // one for each transaction asked for
	shared   [][]byte // one for each set of observations
	compacts [][]byte
}

// measure makes acceptance proofs of the first transactions that became final, and compact ones of fewer.
func (p *prover) measure(proofs, compacts int) (*Proofs, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	log, err := p.store.FinalLog(1, proofs)
	if err != nil {
		return nil, err
	}
	var items []observation.Item
	start, edges, bytes, most := threadCPU(), 0, 0, 0
	for _, e := range log {
		item, err := p.item(e.Tx)
		if err != nil {
			return nil, err
		}
		proof, err := observation.BuildProof(p.net.Group, nil, []observation.Item{item})
		if err != nil {
			return nil, err
		}
		p.proofs = append(p.proofs, proof.Encode())
		size := len(p.proofs[len(p.proofs)-1])
		items, edges, bytes, most = append(items, item), edges+len(item.Edges), bytes+size, max(most, size)
	}
	n := float64(len(log))
	r := &Proofs{MakeUS: microseconds(threadCPU()-start) / n, Edges: float64(edges) / n, Bytes: float64(bytes) / n, Most: float64(most)}
	if r.Shared, err = p.share(items); err != nil {
		return nil, err
	}
	return r, p.fold(r, log[:min(compacts, len(log))])
}

// item is a transaction with the edges that its final record names.
func (p *prover) item(id domain.Hash) (item observation.Item, err error) {
	t, found, err := p.store.Transaction(id)
	switch {
	case err != nil:
		return item, err
	case !found || t.Final == nil:
		return item, fmt.Errorf("growth: %s is not final", id)
	}
	item = observation.Item{ID: id, Round: t.Final.Round}
	for _, ref := range t.Final.Edges {
		at := place{observation.ChainID{Key: ref.Key, SigningEpoch: ref.SigningEpoch}, ref.Height}
		k := p.trees[at]
		if k == nil {
			o, found, err := p.store.Observation(at.chain, at.height)
			if err != nil {
				return item, err
			}
			if !found {
				return item, fmt.Errorf("growth: observation %d of %s is not stored", at.height, ref.Key)
			}
			k = &kept{o, o.Tree()}
			p.trees[at] = k
		}
		item.Edges = append(item.Edges, observation.NewEdge(k.observation, k.tree, int(ref.Leaf)))
	}
	return item, nil
}

// share makes one proof of all items whose first edges lie in one observation: they became final together.
func (p *prover) share(items []observation.Item) (perItem float64, err error) {
	bytes := 0
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].Edges[0].Header.Root == items[0].Edges[0].Header.Root {
			n++
		}
		proof, err := observation.BuildProof(p.net.Group, nil, items[:n])
		if err != nil {
			return 0, err
		}
		p.shared = append(p.shared, proof.Encode())
		bytes += len(p.shared[len(p.shared)-1])
		items = items[n:]
	}
	return float64(bytes) / float64(len(p.proofs)), nil
}

// fold makes compact proofs by the fewest signers that are a quorum.
func (p *prover) fold(r *Proofs, log []store.LogEntry) error {
	if len(log) == 0 {
		return nil
	}
	g := p.net.Group
	signers, weight := 0, group.Weight(0)
	keys := make([]bls.PrivateKey, 0, len(p.net.Signers))
	for _, s := range p.net.Signers {
		if group.Quorum(weight) {
			break
		}
		weight += g.Share(s.Head.Key)
		keys = append(keys, bls.Derive(s.Key))
		signers++
	}
	bytes, wire := 0, 0
	for _, e := range log {
		statement := observation.FinalStatement{Network: g.Network(), Link: g.Link(), Tx: e.Tx}
		start := threadCPU()
		finals := make([]observation.FinalSignature, signers)
		for i, s := range p.net.Signers[:signers] {
			finals[i] = observation.SignFinal(statement, s.Key, s.Head.SigningEpoch, keys[i])
			wire += len(finals[i].Encode())
		}
		signed := threadCPU()
		c, bad, err := observation.BuildCompact(g, statement, nil, finals)
		if err == nil && len(bad) > 0 {
			err = fmt.Errorf("growth: compact proof of %s: %d bad shares", e.Tx, len(bad))
		}
		if err != nil {
			return err
		}
		r.SignUS += microseconds(signed-start) / float64(signers*len(log))
		r.FoldUS += microseconds(threadCPU()-signed) / float64(len(log))
		p.compacts = append(p.compacts, c.Encode())
		bytes += len(p.compacts[len(p.compacts)-1])
	}
	r.Compact, r.CompactWire = float64(bytes)/float64(len(log)), float64(wire)/float64(len(log))
	return nil
}
