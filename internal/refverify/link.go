package refverify

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"sort"
)

const (
	maxSignatures = 65_536
	kindSpend     = 1
	kindLink      = 6
)

// output names the output that holds a group.
type output struct {
	tx    hash
	index uint32
}

// link leads to a group: by a transaction and its proof, or vouched for by the proof that comes next.
type link struct {
	to     *group
	proof  *proof
	output output
	spends []output
}

func readLink(at string, b []byte) (*link, error) {
	if len(b) > 1<<20 {
		return nil, refuse(at, "%d bytes", len(b))
	}
	var tx, proven, vouched []byte
	err := linkFields.walk(at, b, func(v value, _ string) error {
		switch v.number {
		case 1:
			tx = v.bytes
		case 2:
			proven = v.bytes
		case 3:
			vouched = v.bytes
		}
		return nil
	})
	l := &link{}
	switch {
	case err != nil:
		return nil, err
	case vouched != nil && (tx != nil || proven != nil):
		return nil, refuse(at+".group", "stated beside a transaction or a proof")
	case vouched != nil:
		l.to, err = readNext(at+".group", vouched)
		return l, err
	case tx == nil:
		return nil, refuse(at+".transaction", "absent")
	case proven == nil:
		return nil, refuse(at+".proof", "absent")
	}
	if err := l.readTransaction(at+".transaction", tx); err != nil {
		return nil, err
	}
	if l.proof, err = readQuorum(at+".proof", proven, false); err != nil {
		return nil, err
	}
	return l, l.checkProof(at + ".proof")
}

// readNext reads a group that is not that of genesis.
func readNext(at string, b []byte) (*group, error) {
	g, err := readLinkedGroup(at, b)
	if err == nil && g.epoch == 0 {
		err = refuse(at+".epoch", "no link leads to epoch 0")
	}
	return g, err
}

func (l *link) readTransaction(at string, raw []byte) error {
	body, err := readBody(at, raw)
	if err != nil {
		return err
	}
	if body == nil {
		return refuse(at+".body", "absent")
	}
	signed := false
	_ = transactionFields.walk(at, raw, func(v value, _ string) error {
		signed = signed || v.number == 2
		return nil
	})
	if signed {
		return refuse(at+".witnesses", "needless")
	}
	at += ".body"
	if len(body) > 245_760 {
		return refuse(at, "%d bytes", len(body))
	}
	if err := bodyFields.check(at, body); err != nil {
		return err
	}
	if err := l.readInputs(at, body); err != nil {
		return err
	}
	l.output.tx = tagged("notary/tx/v1", body)
	outputs := uint32(0)
	err = bodyFields.walk(at, body, func(v value, at string) error {
		if v.number != 3 {
			return nil
		}
		defer func() { outputs++ }()
		kind, payload := uint64(0), []byte(nil)
		err := outputFields.walk(at, v.bytes, func(v value, at string) error {
			switch v.number {
			case 4:
				kind = v.uint
			case 5:
				return dataFields.walk(at, v.bytes, func(v value, _ string) error {
					if v.number == 2 {
						payload = v.bytes
					}
					return nil
				})
			}
			return nil
		})
		if err != nil || kind != kindLink {
			return err
		}
		if l.to != nil {
			return refuse(at, "a second group")
		}
		l.output.index = outputs
		l.to, err = readNext(at+".data.payload", payload)
		return err
	})
	if err == nil && l.to == nil {
		err = refuse(at+".outputs", "none of them holds a group")
	}
	return err
}

// readInputs notes what the transaction spends.
func (l *link) readInputs(at string, body []byte) error {
	return bodyFields.walk(at, body, func(v value, _ string) error {
		if v.number != 2 {
			return nil
		}
		kind, o, named := uint64(0), output{}, false
		err := inputFields.walk("", v.bytes, func(v value, _ string) error {
			switch v.number {
			case 1:
				kind = v.uint
			case 2:
				return outpointFields.walk("", v.bytes, func(v value, _ string) error {
					switch v.number {
					case 1:
						o.tx, named = hash(v.bytes), true
					case 2:
						o.index = uint32(v.uint)
					}
					return nil
				})
			}
			return nil
		})
		if err != nil || kind != kindSpend {
			return err
		}
		if !named {
			return refuse(at+".inputs.outpoint.transaction", "absent")
		}
		l.spends = append(l.spends, o)
		return nil
	})
}

// checkProof refuses a proof of anything but this transaction by the group before.
func (l *link) checkProof(at string) error {
	p := l.proof
	switch {
	case len(p.transactions) != 1:
		return refuse(at+".transactions", "%d of them", len(p.transactions))
	case p.transactions[0].raw != nil:
		return refuse(at+".transactions[0].transaction", "stated already")
	case p.transactions[0].id != l.output.tx:
		return refuse(at+".transactions[0].transaction_id", "another transaction")
	case *p.network != l.to.network:
		return refuse(at+".network", "another network")
	case p.groupEpoch != l.to.epoch-1:
		return refuse(at+".group_epoch", "not the epoch before")
	case *p.link != l.to.previous:
		return refuse(at+".link", "not the group before")
	}
	return nil
}

// checkLinks refuses links that do not hang together.
func (p *proof) checkLinks() error {
	for i, l := range p.links {
		at := fmt.Sprintf("links[%d]", i)
		if l.to.network != *p.network {
			return refuse(at, "another network")
		}
		if i == 0 {
			continue
		}
		before := p.links[i-1]
		switch {
		case l.proof == nil && before.proof == nil:
			return refuse(at, "nothing vouches for the one before")
		case l.proof == nil && l.to.epoch <= before.to.epoch:
			return refuse(at+".group.epoch", "not later")
		case l.proof != nil && *l.proof.link != before.to.link:
			return refuse(at+".proof.link", "by another group")
		}
	}
	if n := len(p.links); n > 0 {
		last := p.links[n-1].to
		if last.link != *p.link {
			return refuse("link", "the links lead elsewhere")
		}
		if last.epoch != p.groupEpoch {
			return refuse("group_epoch", "epoch %d has this link", last.epoch)
		}
	}
	return nil
}

// errUnrooted says that nothing known leads to the group that signed.
var errUnrooted = errors.New("no trust root")

// walk follows the links of a proof from genesis to the group that signed it. Where the last link is
// vouched for by the proof itself, waiting is its position, else -1.
func (p *proof) walk(genesis *group) (g *group, known []*group, told []Link, waiting int, err error) {
	waiting = -1
	var spend output
	var haveOutput bool
	if g = genesis; g != nil {
		known, spend, haveOutput = []*group{g}, output{g.network, g.linkIndex}, true
	}
	for i, l := range p.links {
		t := Link{Epoch: l.to.epoch, Link: hex.EncodeToString(l.to.link[:]), Footing: "unrooted"}
		at := fmt.Sprintf("links[%d]", i)
		if l.proof == nil {
			g, haveOutput, waiting = l.to, false, i
			told = append(told, t)
			continue
		}
		if g == nil || *l.proof.link != g.link {
			return nil, known, append(told, t), -1, errUnrooted
		}
		if err = l.proof.checkSigners(at+".proof.", g); err != nil {
			return nil, known, told, -1, err
		}
		if waiting >= 0 {
			if known, err = l.proof.vouch(known, g, &told[waiting], waiting); err != nil {
				return nil, known, told, -1, err
			}
			waiting = -1
		}
		tx, err := l.proof.checkTransaction(at+".proof.", g, 0)
		switch {
		case err != nil:
			return nil, known, told, -1, err
		case tx.Conclusion != Valid:
			return nil, known, told, -1, refuse(at+".proof", "weight %d", tx.Weight)
		case haveOutput && !spent(l.spends, spend):
			return nil, known, told, -1, refuse(at+".transaction", "does not spend what holds the group before")
		}
		t.Footing, t.By, t.Weight = "proven", g.epoch, tx.Weight
		told = append(told, t)
		if known, err = learn(known, l.to, at); err != nil {
			return nil, known, told, -1, err
		}
		g, spend, haveOutput = l.to, l.output, true
	}
	return g, known, told, waiting, nil
}

func spent(all []output, o output) bool {
	for _, x := range all {
		if x == o {
			return true
		}
	}
	return false
}

// vouch believes that g is the group of its epoch where more than two thirds of some earlier group that
// is known signed the headers of a proof under it.
func (p *proof) vouch(known []*group, g *group, told *Link, at int) ([]*group, error) {
	for i := len(known) - 1; i >= 0; i-- {
		old := known[i]
		if old.epoch >= g.epoch {
			continue
		}
		weight, counted := uint64(0), map[[32]byte]bool{}
		for _, o := range p.observations {
			key := g.voters[o.key].key
			for _, v := range old.voters {
				if v.key == key && v.signingEpoch == o.signingEpoch && !counted[key] {
					counted[key] = true
					weight += v.share
				}
			}
		}
		if weight > told.Weight {
			told.Weight, told.By = weight, old.epoch
		}
		if 3*told.Weight > 2*whole {
			told.Footing = "vouched_for"
			return learn(known, g, fmt.Sprintf("links[%d]", at))
		}
	}
	return known, errUnrooted
}

// learn keeps known groups in the order of their epochs, of which each has one.
func learn(known []*group, g *group, at string) ([]*group, error) {
	for _, k := range known {
		if k.epoch == g.epoch {
			return known, refuse(at, "epoch %d has two groups", g.epoch)
		}
	}
	known = append(known, g)
	sort.Slice(known, func(i, j int) bool { return known[i].epoch < known[j].epoch })
	return known, nil
}

// readLinkedGroup reads a canonical Group.
func readLinkedGroup(at string, b []byte) (*group, error) {
	if len(b) > 196_608 {
		return nil, refuse(at, "%d bytes", len(b))
	}
	if err := groupFields.check(at, b); err != nil {
		return nil, err
	}
	g := &group{link: tagged("notary/link/v1", b)}
	var network, previous []byte
	var members, evidence [][]byte
	_ = groupFields.walk(at, b, func(v value, _ string) error {
		switch v.number {
		case 1:
			network = v.bytes
		case 2:
			g.epoch = v.uint
		case 3:
			previous = v.bytes
		case 4:
			members = append(members, v.bytes)
		case 5:
			evidence = append(evidence, v.bytes)
		}
		return nil
	})
	if network == nil {
		return nil, refuse(at+".network", "absent")
	}
	g.network = hash(network)
	if previous != nil {
		g.previous = hash(previous)
	}
	for _, m := range members {
		if !complete(m) {
			return nil, refuse(at+".members", "an id or a key is absent, or a weight exceeds the whole")
		}
	}
	switch {
	case (g.epoch == 0) != (g.previous == hash{}):
		return nil, refuse(at+".previous", "epoch 0 alone has none")
	case len(members) == 0:
		return nil, refuse(at+".members", "nobody")
	case !ascending(evidence):
		return nil, refuse(at+".evidence", "out of order")
	}
	var sum uint64
	for _, m := range members {
		if err := g.readMember(at+".members", m); err != nil {
			return nil, refuse(at+".members", "%v", err)
		}
		sum += g.peers[len(g.peers)-1].weight
	}
	if sum != whole || !g.sortVoters() {
		return nil, refuse(at+".members", "weights sum to %d, or a key stands twice", sum)
	}
	if previous != nil && g.previous == (hash{}) {
		return nil, refuse(at+".previous", "zeros stated")
	}
	return g, nil
}

// complete reports whether a member states its id, all its keys and a weight within the whole.
func complete(member []byte) bool {
	ok, id := true, false
	_ = memberFields.walk("", member, func(v value, _ string) error {
		switch v.number {
		case 1:
			id = true
		case 2:
			ok = ok && v.uint <= whole
		case 3:
			key := false
			_ = nodeKeyFields.walk("", v.bytes, func(v value, _ string) error {
				key = key || v.number == 1
				return nil
			})
			ok = ok && key
		}
		return nil
	})
	return ok && id
}

func ascending(all [][]byte) bool {
	for i := 1; i < len(all); i++ {
		if bytes.Compare(all[i-1], all[i]) >= 0 {
			return false
		}
	}
	return true
}
