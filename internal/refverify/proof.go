package refverify

import (
	"bytes"
	"fmt"
)

// proof is an AcceptanceProof as it was read.
type proof struct {
	network, link *hash
	groupEpoch    uint64
	links         []*link
	// linked are the signatures in the proofs of the links.
	linked       int
	observations []observation
	transactions []transaction
}

type observation struct {
	key, signingEpoch, leafCount uint32
	height, timeMS               uint64
	previous, root               hash
	signature                    []byte
	used                         bool
}

type transaction struct {
	id    hash
	raw   []byte
	round uint32
	edges []edge
}

type edge struct {
	observation, leafIndex uint32
	timeMS                 uint64
	path                   []byte
}

const (
	magic    = "NOTARY\x00\x01"
	maxProof = 16 << 20
)

// readProof reads a `.notary` file and checks all that needs no group.
func readProof(file []byte) (*proof, error) {
	if len(file) < len(magic) || string(file[:7]) != magic[:7] {
		return nil, refuse("magic", "not a notary file")
	}
	if string(file[:8]) != magic {
		return nil, refuse("version", "version %d", file[7])
	}
	b := file[8:]
	if len(b) > maxProof {
		return nil, refuse("", "%d bytes", len(b))
	}
	return readQuorum("", b, true)
}

// readQuorum reads an AcceptanceProof, with links or without.
func readQuorum(path string, b []byte, links bool) (*proof, error) {
	if err := proofFields.check(path, b); err != nil {
		return nil, err
	}
	p := &proof{}
	err := proofFields.walk(path, b, func(v value, at string) error {
		switch v.number {
		case 1:
			p.network = (*hash)(v.bytes)
		case 2:
			p.groupEpoch = v.uint
		case 3:
			p.link = (*hash)(v.bytes)
		case 4:
			if !links {
				return refuse(join(path, "links"), "links within a link")
			}
			return p.readLink(at, v.bytes)
		case 5:
			if len(p.observations)+p.linked == maxSignatures {
				return refuse(join(path, "observations"), "too many signatures in all")
			}
			return p.readObservation(at, v.bytes)
		case 6:
			return p.readTransaction(at, v.bytes)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case p.network == nil:
		return nil, refuse(join(path, "network"), "absent")
	case p.link == nil:
		return nil, refuse(join(path, "link"), "absent")
	}
	if err := p.checkLinks(); err != nil {
		return nil, err
	}
	if len(p.transactions) == 0 {
		return nil, refuse(join(path, "transactions"), "absent")
	}
	for i, o := range p.observations {
		if !o.used {
			return nil, refuse(join(path, fmt.Sprintf("observations[%d]", i)), "no edge refers to it")
		}
	}
	return p, nil
}

func (p *proof) readLink(at string, b []byte) error {
	l, err := readLink(at, b)
	if err != nil {
		return err
	}
	p.links = append(p.links, l)
	if l.proof != nil {
		p.linked += len(l.proof.observations)
	}
	if p.linked > maxSignatures {
		return refuse(at+".proof.observations", "too many signatures in all")
	}
	return nil
}

func (p *proof) readObservation(at string, b []byte) error {
	var o observation
	var previous, root []byte
	err := observationFields.walk(at, b, func(v value, _ string) error {
		switch v.number {
		case 1:
			o.key = uint32(v.uint)
		case 2:
			o.signingEpoch = uint32(v.uint)
		case 3:
			o.height = v.uint
		case 4:
			previous = v.bytes
		case 5:
			root = v.bytes
		case 6:
			o.leafCount = uint32(v.uint)
		case 7:
			o.timeMS = v.uint
		case 8:
			o.signature = v.bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	if root == nil {
		return refuse(at+".root", "absent")
	}
	if o.signature == nil {
		return refuse(at+".signature", "absent")
	}
	o.root = hash(root)
	if previous != nil {
		o.previous = hash(previous)
		if o.previous == (hash{}) {
			return refuse(at+".previous", "zero is left out")
		}
	}
	if n := len(p.observations); n > 0 && !p.observations[n-1].before(&o) {
		return refuse(at, "out of order or twice")
	}
	switch {
	case o.height == 0:
		return refuse(at+".height", "heights start at 1")
	case (o.height == 1) != (previous == nil):
		return refuse(at+".previous", "height 1 alone has no previous observation")
	case o.leafCount > 20_000:
		return refuse(at+".leaf_count", "%d leaves", o.leafCount)
	}
	p.observations = append(p.observations, o)
	return nil
}

// before orders observations by key, signing epoch and height.
func (o *observation) before(b *observation) bool {
	if o.key != b.key {
		return o.key < b.key
	}
	if o.signingEpoch != b.signingEpoch {
		return o.signingEpoch < b.signingEpoch
	}
	return o.height < b.height
}

func (p *proof) readTransaction(at string, b []byte) error {
	var t transaction
	var id []byte
	err := provenFields.walk(at, b, func(v value, at string) error {
		switch v.number {
		case 1:
			id = v.bytes
		case 2:
			t.raw = v.bytes
		case 3:
			t.round = uint32(v.uint)
		case 4:
			return p.readEdge(&t, at, v.bytes)
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case id == nil:
		return refuse(at+".transaction_id", "absent")
	case len(p.transactions) > 0 && bytes.Compare(p.transactions[len(p.transactions)-1].id[:], id) >= 0:
		return refuse(at+".transaction_id", "out of order or twice")
	case len(t.edges) == 0:
		return refuse(at+".edges", "absent")
	}
	t.id = hash(id)
	p.transactions = append(p.transactions, t)
	return nil
}

// readEdge refuses an edge that refers to nothing, is out of order, or counts a node key twice.
func (p *proof) readEdge(t *transaction, at string, b []byte) error {
	var e edge
	err := edgeFields.walk(at, b, func(v value, _ string) error {
		switch v.number {
		case 1:
			e.observation = uint32(v.uint)
		case 2:
			e.leafIndex = uint32(v.uint)
		case 3:
			e.timeMS = v.uint
		case 4:
			e.path = v.bytes
		}
		return nil
	})
	if err != nil {
		return err
	}
	if uint64(e.observation) >= uint64(len(p.observations)) {
		return refuse(at+".observation", "there is none")
	}
	o := &p.observations[e.observation]
	if n := len(t.edges); n > 0 {
		last := t.edges[n-1].observation
		if e.observation <= last {
			return refuse(at+".observation", "out of order or twice")
		}
		if p.observations[last].key == o.key {
			return refuse(at+".observation", "node key %d twice", o.key)
		}
	}
	if e.leafIndex >= o.leafCount {
		return refuse(at+".leaf_index", "leaf %d of %d", e.leafIndex, o.leafCount)
	}
	if len(e.path)%32 != 0 {
		return refuse(at+".path", "%d bytes", len(e.path))
	}
	o.used = true
	t.edges = append(t.edges, e)
	return nil
}
