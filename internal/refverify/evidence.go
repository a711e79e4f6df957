package refverify

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
)

// The kinds of evidence, and the states of votes that convict.
const (
	forkedChain = 1 + iota
	conflictingPending
	conflictingAccepted
	acceptedAfterPending
	conflictingFinal

	pending  = 1
	accepted = 2
)

const maxEvidence = 512 << 10

// The messages of docs/spec/evidence.md with their bounds.
var (
	signedLeafFields = fields{
		1: {name: "header", kind: octets, size: 192},
		2: {name: "signature", kind: octets, size: 64},
		3: {name: "leaf", kind: octets, size: 47},
		4: {name: "index", kind: number32},
		5: {name: "path", kind: octets, most: 1024},
	}
	finalFields = fields{
		1: {name: "network", kind: octets, size: 32},
		2: {name: "node_key", kind: octets, size: 32},
		3: {name: "signing_epoch", kind: number32},
		4: {name: "link", kind: octets, size: 32},
		5: {name: "transaction_id", kind: octets, size: 32},
		6: {name: "round", kind: number32},
		7: {name: "node_signature", kind: octets, size: 64},
		8: {name: "signature", kind: octets, size: 96},
	}
	evidenceFields = fields{
		1: {name: "kind", kind: enum},
		2: {name: "leaves", kind: message, list: true, most: 1536, items: 2, of: signedLeafFields},
		3: {name: "bodies", kind: octets, list: true, most: 245_760, items: 2},
		4: {name: "finals", kind: message, list: true, most: 512, items: 2, of: finalFields},
	}
)

// Convicted is who evidence convicts.
type Convicted struct {
	NodeKey      [32]byte
	SigningEpoch uint32
}

// deed is one of the two signed statements that evidence holds against each other.
type deed struct {
	raw             []byte
	network, signer hash
	epoch, round    uint32
	// subject and state are those of a vote; a final signature has no state.
	subject hash
	state   byte
	height  uint64
	index   uint32
	// leaf and path belong below root, in a tree of count leaves.
	header, leaf, path []byte
	// signed is what signature is over.
	signed, signature []byte
}

// Convict checks evidence on a network, as docs/spec/evidence.md says, and returns whom it convicts. An error
// is a *Refusal that names the part at fault.
func Convict(network [32]byte, evidence []byte) (Convicted, error) {
	kind, deeds, bodies, err := readEvidence(evidence)
	if err != nil {
		return Convicted{}, err
	}
	name, where := "leaves", ".header.network"
	if kind == conflictingFinal {
		name, where = "finals", ".network"
	}
	for i := range deeds {
		if deeds[i].network != network {
			return Convicted{}, refuse(fmt.Sprintf("%s[%d]%s", name, i, where), "another network")
		}
	}
	a, b := &deeds[0], &deeds[1]
	if a.signer != b.signer || a.epoch != b.epoch {
		return Convicted{}, refuse(name, "of two keys or two signing epochs")
	}
	if kind == forkedChain {
		if a.height != b.height || bytes.Equal(a.header, b.header) {
			return Convicted{}, refuse(name, "not two observations at one height")
		}
	} else if err := contradiction(kind, a, b, bodies); err != nil {
		return Convicted{}, err
	}
	for i := range deeds {
		d := &deeds[i]
		at := fmt.Sprintf("%s[%d]", name, i)
		if d.leaf != nil {
			count := binary.BigEndian.Uint32(d.header[180:])
			if d.index >= count { // and there is no path to it: rootFrom would look for one without end
				return Convicted{}, refuse(at+".path", "leaf %d of %d", d.index, count)
			}
			if root, ok := rootFrom(d.leaf, uint64(d.index), uint64(count), d.path); !ok || !bytes.Equal(root[:], d.header[148:180]) {
				return Convicted{}, refuse(at+".path", "does not lead to the root")
			}
		}
		if !ed25519.Verify(d.signer[:], d.signed, d.signature) {
			signature := ".signature"
			if kind == conflictingFinal {
				signature = ".node_signature"
			}
			return Convicted{}, refuse(at+signature, "not by this key")
		}
	}
	return Convicted{NodeKey: a.signer, SigningEpoch: a.epoch}, nil
}

// contradiction refuses statements that break no rule, or not the one of this kind, or that are not about what the
// bodies say or about nothing in common.
func contradiction(kind uint64, a, b *deed, bodies [][]byte) error {
	if kind == conflictingFinal && a.subject == b.subject {
		return refuse("finals", "both for one transaction")
	}
	for i, d := range []*deed{a, b} {
		if tagged("notary/tx/v1", bodies[i]) != d.subject {
			return refuse(fmt.Sprintf("bodies[%d]", i), "not what was signed")
		}
	}
	if kind != conflictingFinal {
		if broken(a, b) != kind {
			return refuse("kind", "the votes show another")
		}
		if kind == acceptedAfterPending && a.state != pending {
			return refuse("leaves", "PENDING comes first")
		}
	}
	var spent [2][]output
	for i, body := range bodies {
		at := fmt.Sprintf("bodies[%d]", i)
		if err := bodyFields.check(at, body); err != nil {
			return err
		}
		var l link
		if err := l.readInputs(at, body); err != nil {
			return err
		}
		spent[i] = l.spends
	}
	for _, x := range spent[0] {
		for _, y := range spent[1] {
			if x == y {
				return nil
			}
		}
	}
	return refuse("bodies", "spend nothing in common")
}

// broken is the rule that two votes on conflicting transactions break; 0 for none.
func broken(a, b *deed) uint64 {
	votes := a.leaf[32] == 1 && b.leaf[32] == 1 && a.subject != b.subject
	first, then := a, b
	if a.state == accepted && b.state == pending {
		first, then = b, a
	}
	later := first.height < then.height || first.height == then.height && first.index < then.index
	switch {
	case !votes:
	case a.state == pending && b.state == pending && a.round == b.round:
		return conflictingPending
	case a.state == accepted && b.state == accepted && a.round == b.round:
		return conflictingAccepted
	case first.state == pending && then.state == accepted && first.round > then.round && later:
		return acceptedAfterPending
	}
	return 0
}

// readEvidence reads the encoding and checks the form of all parts.
func readEvidence(b []byte) (kind uint64, deeds []deed, bodies [][]byte, err error) {
	if len(b) > maxEvidence {
		return 0, nil, nil, refuse("", "%d bytes", len(b))
	}
	if err := evidenceFields.check("", b); err != nil {
		return 0, nil, nil, err
	}
	var leaves, finals [][]byte
	err = evidenceFields.walk("", b, func(v value, _ string) error {
		switch v.number {
		case 1:
			kind = v.uint
		case 2:
			leaves = append(leaves, v.bytes)
		case 3:
			bodies = append(bodies, v.bytes)
		case 4:
			finals = append(finals, v.bytes)
		}
		return nil
	})
	if err != nil {
		return 0, nil, nil, err
	}
	want := [3]int{2, 2, 0} // leaves, bodies, finals
	switch kind {
	case forkedChain:
		want[1] = 0
	case conflictingPending, conflictingAccepted, acceptedAfterPending:
	case conflictingFinal:
		want = [3]int{0, 2, 2}
	default:
		return 0, nil, nil, refuse("kind", "kind %d", kind)
	}
	for i, got := range [3]int{len(leaves), len(bodies), len(finals)} {
		if got != want[i] {
			return 0, nil, nil, refuse([3]string{"leaves", "bodies", "finals"}[i], "%d of them, want %d", got, want[i])
		}
	}
	name := "leaves"
	for i, l := range leaves {
		d, err := readSignedLeaf(fmt.Sprintf("leaves[%d]", i), l, kind != forkedChain)
		if err != nil {
			return 0, nil, nil, err
		}
		deeds = append(deeds, d)
	}
	for i, f := range finals {
		name = "finals"
		d, err := readFinal(fmt.Sprintf("finals[%d]", i), f)
		if err != nil {
			return 0, nil, nil, err
		}
		deeds = append(deeds, d)
	}
	if kind != acceptedAfterPending && bytes.Compare(deeds[0].raw, deeds[1].raw) >= 0 {
		return 0, nil, nil, refuse(name+"[1]", "not above the one before")
	}
	return kind, deeds, bodies, nil
}

// readSignedLeaf reads a header and its signature, and the leaf with its place where it has one.
func readSignedLeaf(at string, b []byte, withLeaf bool) (d deed, err error) {
	d.raw = b
	placed := false
	err = signedLeafFields.walk(at, b, func(v value, _ string) error {
		switch v.number {
		case 1:
			d.header = v.bytes
		case 2:
			d.signature = v.bytes
		case 3:
			d.leaf = v.bytes
		case 4:
			d.index, placed = uint32(v.uint), true
		case 5:
			d.path, placed = v.bytes, true
		}
		return nil
	})
	switch {
	case err != nil:
		return d, err
	case d.header == nil:
		return d, refuse(at+".header", "absent")
	case d.signature == nil:
		return d, refuse(at+".signature", "absent")
	case withLeaf && d.leaf == nil:
		return d, refuse(at+".leaf", "absent")
	case !withLeaf && (d.leaf != nil || placed):
		return d, refuse(at+".leaf", "present")
	}
	if err := d.readHeader(at + ".header"); err != nil {
		return d, err
	}
	if withLeaf {
		return d, d.readLeaf(at + ".leaf")
	}
	return d, nil
}

// readHeader takes the 192 bytes apart: network, key, signing epoch, height, previous, group epoch, link, root, leaf
// count, time.
func (d *deed) readHeader(at string) error {
	h := d.header
	d.network, d.signer = hash(h[:32]), hash(h[32:64])
	d.epoch, d.height = binary.BigEndian.Uint32(h[64:]), binary.BigEndian.Uint64(h[68:])
	switch {
	case d.height == 0:
		return refuse(at+".height", "zero")
	case (d.height == 1) != (hash(h[76:108]) == hash{}):
		return refuse(at+".previous", "zero at height 1 alone")
	case binary.BigEndian.Uint32(h[180:]) > 20_000:
		return refuse(at+".leaf_count", "too many")
	}
	name := tagged("notary/observation/v1", h)
	d.signed = append(append([]byte("notary/observation/v1\x00"), d.network[:]...), name[:]...)
	return nil
}

// readLeaf takes the 47 bytes apart: subject, type, state, round, time, reserved.
func (d *deed) readLeaf(at string) error {
	l := d.leaf
	d.subject, d.state, d.round = hash(l[:32]), l[33], binary.BigEndian.Uint32(l[34:])
	const (
		tx, link                = 1, 5
		seen, closed, inherited = 5, 6, 7
	)
	fits := d.state == seen
	switch l[32] {
	case tx:
		fits = d.state != closed
	case link:
		fits = d.state == closed || d.state == inherited
	}
	switch {
	case l[32] < tx || l[32] > link:
		return refuse(at+".type", "type %d", l[32])
	case d.state < pending || d.state > inherited:
		return refuse(at+".state", "state %d", d.state)
	case !fits:
		return refuse(at+".state", "state %d of type %d", d.state, l[32])
	case (l[32] != tx || d.state == seen) && d.round != 0:
		return refuse(at+".round", "neither a vote nor a lock, in a round")
	case l[46] != 0:
		return refuse(at+".reserved", "not zero")
	}
	return nil
}

// readFinal reads a final signature without its BLS signature.
func readFinal(at string, b []byte) (d deed, err error) {
	d.raw = b
	parts := map[uint64][]byte{}
	err = finalFields.walk(at, b, func(v value, _ string) error {
		switch v.number {
		case 3:
			d.epoch = uint32(v.uint)
		case 6:
			d.round = uint32(v.uint)
		default:
			parts[v.number] = v.bytes
		}
		return nil
	})
	if err != nil {
		return d, err
	}
	for _, number := range []uint64{1, 2, 4, 5, 7} {
		if parts[number] == nil {
			return d, refuse(at+"."+finalFields[number].name, "absent")
		}
	}
	if parts[8] != nil {
		return d, refuse(at+".signature", "present")
	}
	d.network, d.signer, d.subject, d.signature = hash(parts[1]), hash(parts[2]), hash(parts[5]), parts[7]
	statement := tagged("notary/final/v1", parts[1], parts[4], parts[5], binary.BigEndian.AppendUint32(nil, d.round))
	h := tagged("notary/final/v1", statement[:], binary.BigEndian.AppendUint32(nil, d.epoch))
	d.signed = append(append([]byte("notary/final/v1\x00"), parts[1]...), h[:]...)
	return d, nil
}
