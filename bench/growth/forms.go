package growth

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

// Forms are in how many bytes of disk a transaction's votes can be kept, each form written to a store of its own and
// measured in its tables. Not all of them exist in package node (docs/adr/0018-*.md).
type Forms struct {
	// Ledger is what a transaction leaves besides votes: live set, logs, its bytes, its final record.
	Ledger float64 `json:"ledger"`
	// Whole are all observations as they came.
	Whole float64 `json:"whole"`
	// Quorum are whole observations, but only those that a final record names.
	Quorum float64 `json:"quorum"`
	// References are all observations, each leaf naming its subject by its place in the final log or in a chain: they
	// can be rebuilt byte by byte.
	References float64 `json:"references"`
	// QuorumReferences are the observations of Quorum in the form of References.
	QuorumReferences float64 `json:"quorum_references"`
	// Roots are signed headers without leaves.
	Roots float64 `json:"roots"`
	// Proofs are an acceptance proof for each transaction, Shared one for all of the same observations, Compact a
	// compact proof for each.
	Proofs  float64 `json:"proofs"`
	Shared  float64 `json:"shared"`
	Compact float64 `json:"compact"`
}

// former writes forms.
type former struct {
	net *kit.Network
	dir string
}

// measureForms writes every form of what is in a store.
func measureForms(p *prover, plan *Plan, g *Group) (*Forms, error) {
	w := former{p.net, filepath.Join(plan.Dir, "form")}
	all, quorum, refer, err := p.history(plan.Transactions)
	if err != nil {
		return nil, err
	}
	n := float64(plan.Transactions)
	f := &Forms{}
	for name, bytes := range g.Disk {
		if name != "observations" {
			f.Ledger += bytes
		}
	}
	pick := func(list []*observation.Observation, form func(*observation.Observation) []byte) (blobs [][]byte) {
		for _, o := range list {
			blobs = append(blobs, form(o))
		}
		return blobs
	}
	raw := func(o *observation.Observation) []byte { return o.Raw }
	root := func(o *observation.Observation) []byte {
		header := o.Header.Encode()
		return append(header[:], o.Signature[:]...)
	}
	for _, form := range []struct {
		bytes *float64
		blobs [][]byte
		n     float64
	}{
		{&f.Whole, pick(all, raw), n},
		{&f.Quorum, pick(quorum, raw), n},
		{&f.References, pick(all, refer.encode), n},
		{&f.QuorumReferences, pick(quorum, refer.encode), n},
		{&f.Roots, pick(all, root), n},
		{&f.Proofs, p.proofs, float64(len(p.proofs))},
		{&f.Shared, p.shared, float64(len(p.proofs))},
		{&f.Compact, p.compacts, float64(len(p.compacts))},
	} {
		bytes, err := w.onDisk(form.blobs)
		if err != nil {
			return nil, err
		}
		*form.bytes = bytes / form.n
	}
	return f, nil
}

// onDisk is how many bytes some records take in the tables of a store.
func (w *former) onDisk(blobs [][]byte) (float64, error) {
	if err := os.RemoveAll(w.dir); err != nil {
		return 0, err
	}
	defer os.RemoveAll(w.dir)
	signer := w.net.Signers[0]
	o := store.Options{Network: w.net.Genesis.ID, Key: signer.Key.Public(), SigningEpoch: signer.Head.SigningEpoch, Create: true}
	s, err := store.Open(w.dir, o)
	if err != nil {
		return 0, err
	}
	for i, b := range blobs {
		key := domain.Sum(domain.TagTx, binary.BigEndian.AppendUint64(nil, uint64(i)))
		if err := s.SaveProof(key, b); err != nil {
			return 0, fmt.Errorf("growth: record %d: %w", i, err)
		}
	}
	if err := s.Close(); err != nil {
		return 0, err
	}
	if s, err = store.Open(w.dir, o); err != nil { // the log goes to tables
		return 0, err
	}
	u, err := settled(s)
	if e := s.Close(); err == nil {
		err = e
	}
	return float64(u.Classes["proofs"]), err
}

// history is all observations of a store, those that a final record names, and what leaves can refer to.
func (p *prover) history(finals int) (all, quorum []*observation.Observation, r *references, err error) {
	r = &references{places: make(map[domain.Hash]uint64), heads: make(map[domain.Hash]place), voters: make(map[domain.PublicKey]int)}
	for i, v := range p.net.Group.Voters() {
		r.voters[v.Key] = i
	}
	named := make(map[place]bool)
	log, err := p.store.FinalLog(1, finals)
	if err != nil {
		return nil, nil, nil, err
	}
	for _, e := range log {
		r.places[e.Tx] = e.Seq
		t, found, err := p.store.Transaction(e.Tx)
		if err == nil && !found {
			err = fmt.Errorf("growth: %s is not stored", e.Tx)
		}
		if err != nil {
			return nil, nil, nil, err
		}
		for _, ref := range t.Final.Edges {
			named[place{observation.ChainID{Key: ref.Key, SigningEpoch: ref.SigningEpoch}, ref.Height}] = true
		}
	}
	for _, head := range p.store.Heads() {
		id := observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch}
		for o, err := range p.store.Observations(id, 1, head.Height) {
			if err != nil {
				return nil, nil, nil, err
			}
			all = append(all, o)
			r.heads[o.Hash] = place{id, o.Header.Height}
			if named[place{id, o.Header.Height}] {
				quorum = append(quorum, o)
			}
		}
	}
	return all, quorum, r, nil
}

// references are the numbers by which leaves can name what they are about.
type references struct {
	places map[domain.Hash]uint64 // of final transactions, in the final log
	heads  map[domain.Hash]place  // of observations
	voters map[domain.PublicKey]int
}

// encode is an observation whose leaves name what they are about by number: header and signature, then for each leaf
// its type and state in a byte, its subject, its round, and its time beside the header's. A transaction is its place in
// the final log beside that of the leaf before, an observation the position of its signer and its height beside this
// one's. Leaves on the member's own observations, which the others signed before these existed, are given this
// one's height.
func (r *references) encode(o *observation.Observation) []byte {
	header := o.Header.Encode()
	b := append(header[:], o.Signature[:]...)
	last := int64(0)
	for i := range o.Len() {
		l := o.Leaf(i)
		b = append(b, byte(l.Type)<<4|byte(l.State))
		if l.Type == observation.SubjectTx {
			number := int64(r.places[l.Subject])
			b = binary.AppendVarint(b, number-last)
			last = number
		} else {
			at, known := r.heads[l.Subject]
			if !known {
				at.height = o.Header.Height
			}
			b = binary.AppendUvarint(b, uint64(r.voters[at.chain.Key]))
			b = binary.AppendVarint(b, int64(at.height)-int64(o.Header.Height))
		}
		b = binary.AppendUvarint(b, uint64(l.Round))
		b = binary.AppendVarint(b, int64(l.TimeMS)-int64(o.Header.TimeMS))
	}
	return b
}
