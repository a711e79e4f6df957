package utxo

import (
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// LinkOutput is the output that holds the group of an epoch. The next link may not come before epochMS
// milliseconds have passed since it became final, unless that acts on evidence.
func LinkOutput(g *group.Group, epochMS uint64) Output {
	return Output{
		Kind: notaryv1.OutputKind_OUTPUT_KIND_LINK, MinAgeMS: epochMS,
		Data: &Data{Kind: notaryv1.DataKind_DATA_KIND_GROUP, Payload: g.Bytes()},
	}
}

// NewLink is the body of the link that leads from an outpoint to the next group, computed from peer
// metadata at the outpoints of cut. Whoever makes it from the same makes the same body: it names nobody
// and nothing else, so two members that agree propose one transaction and no double spend.
func NewLink(last Outpoint, cut []Outpoint, next *group.Group, epochMS uint64) *Builder {
	b := NewBuilder(next.Network()).Spend(last)
	for _, o := range slices.SortedFunc(slices.Values(cut), Outpoint.Compare) {
		b.Read(o)
	}
	return b.Output(LinkOutput(next, epochMS))
}

// readLink finds the link that the transaction makes, if any, and applies the rules that need nothing
// but its bytes: a link has one form, so that one group from one cut is one transaction.
func readLink(tx *Tx, r Rules) error {
	at := slices.IndexFunc(tx.Outputs, func(o Output) bool { return o.Kind == notaryv1.OutputKind_OUTPUT_KIND_LINK })
	if at < 0 {
		return nil
	}
	switch {
	case len(tx.Outputs) != 1:
		return invalidLink("outputs", "a link has one output")
	case len(tx.Facilitators) != 0:
		return invalidLink("facilitators", "a link has none")
	case len(tx.Memo) != 0:
		return invalidLink("memo", "a link has none")
	case len(tx.Salt) != 0:
		return invalidLink("salt", "a link has none")
	case tx.ValidFromMS != 0 || tx.ValidUntilMS != 0:
		return invalidLink("valid_from_ms", "a link has no window")
	}
	if err := checkCut(tx); err != nil {
		return err
	}
	o := &tx.Outputs[0]
	if r.EpochMS != 0 && o.MinAgeMS != r.EpochMS {
		return invalidLink("outputs[0].min_age_ms", "%d, an epoch has %d", o.MinAgeMS, r.EpochMS)
	}
	g, err := group.Decode(o.Data.Payload)
	if err != nil {
		return within(notaryv1.Reason_REASON_INVALID_LINK, "outputs[0].data.payload", err)
	}
	if g.Network() != tx.Network {
		return invalidLink("outputs[0].data.payload.network", "%s, this is %s", g.Network(), tx.Network)
	}
	tx.Link = g
	return nil
}

// checkCut: the last link first, which is spent, then what the group was computed from, which is read, in
// one order.
func checkCut(tx *Tx) error {
	for i, in := range tx.Inputs {
		switch {
		case (i == 0) != (in.Kind == notaryv1.InputKind_INPUT_KIND_SPEND):
			return invalidLink(element("inputs", i)+".kind", "a link spends its first input and reads the others")
		case i > 1 && tx.Inputs[i-1].Outpoint.Compare(in.Outpoint) >= 0:
			return invalidLink(element("inputs", i)+".outpoint", "not strictly ascending")
		}
	}
	return nil
}

// checkChain: the link follows the last one, and what it reads is the metadata of peers, one version of
// each. Whether the group is the right one is not for this package to say (docs/spec/group.md, section 5).
func checkChain(j *judgement) error {
	if j.tx.Link == nil {
		return nil
	}
	o := &j.entries[0].Output
	if o.Kind != notaryv1.OutputKind_OUTPUT_KIND_LINK {
		return invalidLink("inputs[0].outpoint", "not the output of a link")
	}
	last, err := group.Decode(o.Data.Payload)
	if err != nil { // It was decoded when it became final.
		return within(notaryv1.Reason_REASON_INVALID_LINK, "inputs[0].outpoint", err)
	}
	if j.tx.Link.Epoch() != last.Epoch()+1 {
		return invalidLink("outputs[0].data.payload.epoch", "%d, the last is %d", j.tx.Link.Epoch(), last.Epoch())
	}
	if j.tx.Link.Previous() != last.Link() {
		return invalidLink("outputs[0].data.payload.previous", "%s, the last is %s", j.tx.Link.Previous(), last.Link())
	}
	seen := make(map[domain.Hash]struct{}, len(j.entries))
	for i := 1; i < len(j.entries); i++ {
		field := element("inputs", i) + ".outpoint"
		o := &j.entries[i].Output
		if o.Kind != notaryv1.OutputKind_OUTPUT_KIND_PEER || o.Data == nil {
			return invalidLink(field, "not the metadata of a peer")
		}
		// One address is one master key, which is one peer.
		if _, twice := seen[o.Address]; twice {
			return invalidLink(field, "two versions of one peer")
		}
		seen[o.Address] = struct{}{}
	}
	return checkProposer(j, last)
}

// checkProposer: a member of the group before stands behind a link, so that nobody else can make rivals.
// Its witness opens the output, which has no address.
func checkProposer(j *judgement, last *group.Group) error {
	for i := range j.tx.Witnesses {
		l := &j.tx.Witnesses[i].Lock
		if len(l.Keys) != 1 || !l.HashLock.IsZero() {
			continue
		}
		if _, votes := last.Voter(l.Keys[0]); votes {
			j.proposer = j.tx.Witnesses[i].Address()
			return nil
		}
	}
	return refusal.New(notaryv1.Reason_REASON_MISSING_WITNESS, "inputs[0]", "no voter of epoch %d has signed", last.Epoch())
}

// actsAtOnce reports whether the transaction is a link made on evidence, which waits for no epoch to pass.
func (tx *Tx) actsAtOnce() bool { return tx.Link != nil && len(tx.Link.Evidence()) > 0 }

func invalidLink(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_LINK, field, format, args...)
}
