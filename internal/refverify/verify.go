package refverify

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
)

// The conclusions, as they stand in the JSON form.
const (
	Valid           = "valid"
	Invalid         = "invalid"
	NotEnoughWeight = "not_enough_weight"
	NoTrustRoot     = "no_trust_root"
)

// Verdict is what a proof shows; its JSON form is that of docs/spec/proof.md, section 5.
type Verdict struct {
	Conclusion string `json:"conclusion"`
	// Field and Why say what is wrong; invalid only.
	Field        string        `json:"field,omitempty"`
	Why          string        `json:"why,omitempty"`
	State        string        `json:"state,omitempty"`
	Network      string        `json:"network,omitempty"`
	GroupEpoch   uint64        `json:"group_epoch"`
	Link         string        `json:"link,omitempty"`
	Links        []Link        `json:"links,omitempty"`
	Transactions []Transaction `json:"transactions,omitempty"`
}

// Link is what a verifier makes of one link of a proof.
type Link struct {
	Epoch   uint64 `json:"epoch"`
	Link    string `json:"link"`
	Footing string `json:"footing"`
	By      uint64 `json:"by_epoch"`
	Weight  uint64 `json:"weight"`
}

// Transaction is what a proof shows of one transaction.
type Transaction struct {
	ID         string `json:"transaction_id"`
	Included   bool   `json:"included"`
	Conclusion string `json:"conclusion"`
	Round      uint32 `json:"round"`
	Weight     uint64 `json:"weight"`
	Quorum     uint64 `json:"quorum"`
	Missing    uint64 `json:"missing"`
	Peers      []Peer `json:"peers"`
	TimeMS     uint64 `json:"time_ms"`
	EarliestMS uint64 `json:"earliest_ms"`
	LatestMS   uint64 `json:"latest_ms"`
	SpreadMS   uint64 `json:"spread_ms"`
}

// Peer is the part of a peer in a proof.
type Peer struct {
	ID     string `json:"peer_id"`
	Keys   int    `json:"keys"`
	Weight uint64 `json:"weight"`
	Of     uint64 `json:"of"`
}

// ExitCode is what a command reports: 0 valid, 1 invalid, 2 not enough weight, 3 no trust root.
func (v Verdict) ExitCode() int {
	switch v.Conclusion {
	case Valid:
		return 0
	case NotEnoughWeight:
		return 2
	case NoTrustRoot:
		return 3
	}
	return 1
}

// Verify checks a `.notary` file. genesis is the canonical encoding of the genesis document that the
// verifier trusts, or nil for none. An error says that the genesis document itself is bad.
func Verify(genesis, file []byte) (Verdict, error) {
	var g *group
	if genesis != nil {
		var err error
		if g, err = readGroup(genesis); err != nil {
			return Verdict{}, err
		}
	}
	v, err := verify(g, file)
	var r *Refusal
	if errors.As(err, &r) {
		return Verdict{Conclusion: Invalid, Field: r.Field, Why: r.Why}, nil
	}
	return v, err
}

func verify(g *group, file []byte) (Verdict, error) {
	p, err := readProof(file)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{
		Conclusion: NoTrustRoot,
		State:      "ACCEPTED",
		Network:    hex.EncodeToString(p.network[:]),
		GroupEpoch: p.groupEpoch,
		Link:       hex.EncodeToString(p.link[:]),
	}
	if g != nil && *p.network != g.network {
		return v, refuse("network", "another network")
	}
	var known []*group
	waiting := -1
	switch {
	case len(p.links) > 0:
		if g, known, v.Links, waiting, err = p.walk(g); errors.Is(err, errUnrooted) {
			return v, nil
		} else if err != nil {
			return v, err
		}
	case g == nil:
		return v, nil
	case *p.link == g.link && p.groupEpoch != 0:
		return v, refuse("group_epoch", "this link is of epoch 0")
	case *p.link != g.link && p.groupEpoch == 0:
		return v, refuse("link", "epoch 0 has another")
	case *p.link != g.link:
		return v, nil
	}
	if err := p.checkSigners("", g); err != nil {
		return v, err
	}
	if waiting >= 0 {
		if _, err := p.vouch(known, g, &v.Links[waiting], waiting); errors.Is(err, errUnrooted) {
			return v, nil
		} else if err != nil {
			return v, err
		}
	}
	v.Conclusion = Valid
	for i := range p.transactions {
		t, err := p.checkTransaction("", g, i)
		if err != nil {
			return v, err
		}
		if t.Conclusion != Valid {
			v.Conclusion = t.Conclusion
		}
		v.Transactions = append(v.Transactions, t)
	}
	return v, nil
}

// checkSigners refuses a key that has no vote, or not in this signing epoch, and then a signature that is
// not its own.
func (p *proof) checkSigners(path string, g *group) error {
	for i := range p.observations {
		o := &p.observations[i]
		at := fmt.Sprintf("%sobservations[%d]", path, i)
		if uint64(o.key) >= uint64(len(g.voters)) {
			return refuse(at+".key_index", "key %d of %d", o.key, len(g.voters))
		}
		signer := &g.voters[o.key]
		if o.signingEpoch != signer.signingEpoch {
			return refuse(at+".signing_epoch", "%d, but the group lists %d", o.signingEpoch, signer.signingEpoch)
		}
	}
	for i := range p.observations {
		if !p.signed(g, &p.observations[i]) {
			return refuse(fmt.Sprintf("%sobservations[%d].signature", path, i), "not by this key over this header")
		}
	}
	return nil
}

// signed rebuilds the 192 bytes of a header and verifies the signature over their hash.
func (p *proof) signed(g *group, o *observation) bool {
	signer := &g.voters[o.key]
	var h []byte
	h = append(h, p.network[:]...)
	h = append(h, signer.key[:]...)
	h = binary.BigEndian.AppendUint32(h, o.signingEpoch)
	h = binary.BigEndian.AppendUint64(h, o.height)
	h = append(h, o.previous[:]...)
	h = binary.BigEndian.AppendUint64(h, p.groupEpoch)
	h = append(h, p.link[:]...)
	h = append(h, o.root[:]...)
	h = binary.BigEndian.AppendUint32(h, o.leafCount)
	h = binary.BigEndian.AppendUint64(h, o.timeMS)
	name := tagged("notary/observation/v1", h)
	signed := append([]byte("notary/observation/v1\x00"), p.network[:]...)
	signed = append(signed, name[:]...)
	return ed25519.Verify(signer.key[:], signed, o.signature)
}

// checkTransaction checks the transaction carried along and the place of every leaf, and sums the weight.
func (p *proof) checkTransaction(path string, g *group, i int) (Transaction, error) {
	t := &p.transactions[i]
	at := fmt.Sprintf("%stransactions[%d]", path, i)
	v := Transaction{ID: hex.EncodeToString(t.id[:]), Included: t.raw != nil, Round: t.round}
	if t.raw != nil {
		if err := checkBody(at+".transaction", t.raw, t.id); err != nil {
			return v, err
		}
	}
	for j := range t.edges {
		e := &t.edges[j]
		o := &p.observations[e.observation]
		// Subject, type TX, state ACCEPTED, round, time, reserved.
		leaf := append([]byte(nil), t.id[:]...)
		leaf = append(leaf, 1, 2)
		leaf = binary.BigEndian.AppendUint32(leaf, t.round)
		leaf = binary.BigEndian.AppendUint64(leaf, e.timeMS)
		leaf = append(leaf, 0)
		root, ok := rootFrom(leaf, uint64(e.leafIndex), uint64(o.leafCount), e.path)
		if !ok || root != o.root {
			return v, refuse(fmt.Sprintf("%s.edges[%d].path", at, j), "does not lead to the root")
		}
	}
	p.tell(g, t, &v)
	return v, nil
}

// checkBody refuses a transaction whose body is not the one that the id names.
func checkBody(at string, raw []byte, id hash) error {
	body, err := readBody(at, raw)
	if err == nil && tagged("notary/tx/v1", body) != id {
		err = refuse(at, "another body")
	}
	return err
}

// readBody takes the body out of a canonical Transaction; nil where it has none.
func readBody(at string, raw []byte) (body []byte, err error) {
	if len(raw) > 262_144 {
		return nil, refuse(at, "%d bytes", len(raw))
	}
	if err := transactionFields.check(at, raw); err != nil {
		return nil, err
	}
	err = transactionFields.walk(at, raw, func(v value, _ string) error {
		if v.number == 1 {
			body = v.bytes
		}
		return nil
	})
	return body, err
}

// rootFrom folds an audit path by the recursion of RFC 6962 section 2.1.1: the topmost node of the path
// belongs beside the half of the tree in which the leaf lies. The index is below the count.
func rootFrom(leaf []byte, index, count uint64, path []byte) (hash, bool) {
	if count == 1 {
		return sha256.Sum256(append([]byte{0}, leaf...)), len(path) == 0
	}
	if len(path) < 32 {
		return hash{}, false
	}
	below, top := path[:len(path)-32], path[len(path)-32:]
	split := uint64(1)
	for 2*split < count {
		split *= 2
	}
	if index < split {
		left, ok := rootFrom(leaf, index, split, below)
		return sha256.Sum256(append(append([]byte{1}, left[:]...), top...)), ok
	}
	right, ok := rootFrom(leaf, index-split, count-split, below)
	return sha256.Sum256(append(append([]byte{1}, top...), right[:]...)), ok
}

// tell sums weights by peer and finds the times.
func (p *proof) tell(g *group, t *transaction, v *Transaction) {
	type signed struct{ timeMS, share uint64 }
	var all []signed
	parts := make([]Peer, len(g.peers))
	for _, e := range t.edges {
		signer := &g.voters[p.observations[e.observation].key]
		parts[signer.peer].Keys++
		parts[signer.peer].Weight += signer.share
		v.Weight += signer.share
		all = append(all, signed{e.timeMS, signer.share})
	}
	for i, part := range parts {
		if part.Keys > 0 {
			part.ID, part.Of = hex.EncodeToString(g.peers[i].id[:]), g.peers[i].weight
			v.Peers = append(v.Peers, part)
		}
	}
	v.Conclusion, v.Quorum = Valid, 2*whole/3
	if 3*v.Weight <= 2*whole {
		v.Conclusion, v.Missing = NotEnoughWeight, 2*whole/3+1-v.Weight
	}
	sort.Slice(all, func(i, j int) bool { return all[i].timeMS < all[j].timeMS })
	v.EarliestMS, v.LatestMS = all[0].timeMS, all[len(all)-1].timeMS
	v.SpreadMS = v.LatestMS - v.EarliestMS
	var sum uint64
	for _, s := range all {
		if sum += s.share; 2*sum >= v.Weight {
			v.TimeMS = s.timeMS
			return
		}
	}
}
