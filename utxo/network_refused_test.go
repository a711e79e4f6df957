package utxo

import (
	"testing"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// newcomer starts the chain of carol's peer with metadata after an edit.
func newcomer(t testing.TB, edit func(*group.Peer)) *Builder {
	t.Helper()
	p := metadata(t, carol, 1)
	edit(p)
	return NewBuilder(testNetwork).Spend(Origin(group.PeerID(carol.Public()))).Output(mustPeer(t, p))
}

// unchecked is what a builder would encode, signed by keys of their own locks.
func unchecked(t testing.TB, name string, reason notaryv1.Reason, field string, b *Builder, keys ...domain.PrivateKey) refused {
	t.Helper()
	return refused{name, reason, field, sealed(t, bodyOf(t, b), keys)}
}

func refusedPeers(t testing.TB) []refused {
	const (
		bad     = notaryv1.Reason_REASON_INVALID_PEER
		output  = notaryv1.Reason_REASON_INVALID_OUTPUT
		payload = "outputs[0].data.payload"
	)
	asIs := func(*group.Peer) {}
	first := func(name string, reason notaryv1.Reason, field string, edit func(*group.Peer)) refused {
		return unchecked(t, name, reason, field, newcomer(t, edit), carol)
	}
	shaped := func(name string, reason notaryv1.Reason, field string, edit func(*Output)) refused {
		b := newcomer(t, asIs)
		edit(&b.tx.Outputs[0])
		return unchecked(t, name, reason, "outputs[0]."+field, b, carol)
	}
	next := func(name, field string, edit func(*group.Peer)) refused {
		p := metadata(t, alice, 2)
		edit(p)
		return unchecked(t, name, bad, field, start(atPeer).Output(mustPeer(t, p)), alice)
	}
	all := []refused{
		shaped("metadata without data", notaryv1.Reason_REASON_MISSING_FIELD, "data", func(o *Output) { o.Data = nil }),
		shaped("metadata without address", notaryv1.Reason_REASON_MISSING_FIELD, "address", func(o *Output) { o.Address = Address{} }),
		shaped("metadata worth a coin", output, "amount", func(o *Output) { o.Amount = 1 }),
		shaped("metadata in gold", output, "product", func(o *Output) { o.Product = gold }),
		shaped("metadata for later", output, "not_before_ms", func(o *Output) { o.NotBeforeMS = 1 }),
		shaped("metadata to age", output, "min_age_ms", func(o *Output) { o.MinAgeMS = 1 }),
		shaped("metadata with a counterparty", output, "counterparty", func(o *Output) { o.Counterparty = gold }),
		shaped("metadata that is a group", output, "data.kind", func(o *Output) { o.Data.Kind = notaryv1.DataKind_DATA_KIND_GROUP }),
		shaped("metadata with a media type", output, "data.media_type", func(o *Output) { o.Data.MediaType = "a/b" }),
		shaped("metadata with a location", output, "data.location", func(o *Output) { o.Data.Location = "x" }),
		shaped("metadata without payload", notaryv1.Reason_REASON_MISSING_FIELD, "data.payload", func(o *Output) { o.Data.Payload = nil }),
		shaped("metadata that is none", bad, "data.payload", func(o *Output) { o.Data.Payload = []byte{0xff} }),
		shaped("metadata at somebody's address", bad, "address", func(o *Output) { o.Address = aliceLock.Address() }),
		first("a master key of zeros", bad, payload+".master_key", func(p *group.Peer) { p.Master = domain.PublicKey{} }),
		first("version 0", bad, payload+".version", func(p *group.Peer) { p.Version = 0 }),
		first("a node key twice", bad, payload+".keys[1]", func(p *group.Peer) { p.Keys = append(p.Keys, p.Keys[0]) }),
		first("a possession of nothing", bad, payload+".keys[0].bls_possession", func(p *group.Peer) { p.Keys[0].Possession = make([]byte, 96) }),
		first("a label too high", bad, payload+".labels[0].score", func(p *group.Peer) { p.Labels[0].Score = 1001 }),
		first("a label of oneself", bad, payload+".labels[0].peer_id", func(p *group.Peer) { p.Labels[0].Peer = p.ID }),
		first("a label twice", bad, payload+".labels[1].peer_id", func(p *group.Peer) { p.Labels = append(p.Labels, p.Labels[0]) }),
		first("an empty address", bad, payload+".addresses[0]", func(p *group.Peer) { p.Addresses = []string{""} }),
		first("too little work", notaryv1.Reason_REASON_WORK_TOO_LOW, payload+".work_nonce", func(p *group.Peer) {
			for p.Nonce = 0; group.Work(testNetwork, p.Master, p.Nonce) >= testRules.WorkBits; p.Nonce++ {
			}
		}),
		first("a node key that has not agreed", notaryv1.Reason_REASON_BAD_SIGNATURE, payload+".keys[0].membership", func(p *group.Peer) {
			p.Keys[0].Membership[5] ^= 1
		}),
		first("a node key that has agreed to belong to another", notaryv1.Reason_REASON_BAD_SIGNATURE, payload+".keys[0].membership", func(p *group.Peer) {
			p.Keys[0] = group.Certify(carol, 1, testNetwork, group.PeerID(bob.Public()))
		}),
		unchecked(t, "two versions at once", bad, "outputs[1]", newcomer(t, asIs).Output(mustPeer(t, metadata(t, carol, 2))), carol),
		unchecked(t, "a first version from nowhere", bad, "inputs", start(atAlice).Output(mustPeer(t, metadata(t, carol, 1))).Pay(aliceLock.Address(), Product{}, 100*coin), alice),
		unchecked(t, "a first version that spends another's", bad, "inputs[1].outpoint", newcomer(t, asIs).Spend(at(atPeer)), carol, alice),
		unchecked(t, "a first version that its master has not signed", notaryv1.Reason_REASON_MISSING_WITNESS, "inputs[0]", newcomer(t, asIs)),
		next("a version left out", "inputs[0].outpoint", func(p *group.Peer) { p.Version = 3 }),
		next("a signing epoch gone back", payload+".keys[0].key.signing_epoch", func(p *group.Peer) { p.Keys[0].SigningEpoch = 0 }),
		unchecked(t, "a version of another peer", bad, "inputs[0].outpoint", start(atPeer).Output(mustPeer(t, metadata(t, bob, 2))), alice),
		unchecked(t, "two predecessors", bad, "inputs[1].outpoint", start(atPeer).Spend(at(atPeerBob)).Output(mustPeer(t, metadata(t, alice, 2))), alice, bob),
		unchecked(t, "a later version from nowhere", bad, "inputs", start(atAlice).Output(mustPeer(t, metadata(t, alice, 2))).Pay(aliceLock.Address(), Product{}, 100*coin), alice),
		unchecked(t, "a later version from the origin", notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, "inputs[0].outpoint",
			NewBuilder(testNetwork).Spend(Origin(group.PeerID(carol.Public()))).Output(mustPeer(t, metadata(t, carol, 2))), carol),
		unchecked(t, "an origin read", notaryv1.Reason_REASON_UNKNOWN_OUTPOINT, "inputs[1].outpoint",
			transfer().Read(Origin(group.PeerID(carol.Public()))), alice),
	}
	return append(all,
		first("a BLS key without proof", bad, payload+".keys[0].bls_possession", func(p *group.Peer) { p.Keys[0].BLS = make([]byte, 48) }),
		first("a BLS key of somebody else", notaryv1.Reason_REASON_BAD_SIGNATURE, payload+".keys[0].bls_possession", func(p *group.Peer) {
			p.Keys[0] = p.Keys[0].WithBLS(bob)
		}),
	)
}

func refusedLinks(t testing.TB) []refused {
	const (
		bad    = notaryv1.Reason_REASON_INVALID_LINK
		output = notaryv1.Reason_REASON_INVALID_OUTPUT
	)
	document := domain.Hash(bytes32(5))
	link := func(g *group.Group, cut ...Outpoint) *Builder { return NewLink(at(atLink), cut, g, testRules.EpochMS) }
	shaped := func(name string, reason notaryv1.Reason, field string, edit func(*Output)) refused {
		b := link(epoch1(t, document))
		edit(&b.tx.Outputs[0])
		return unchecked(t, name, reason, "outputs[0]."+field, b, carol)
	}
	foreign, err := group.New(gold, 1, epoch0(t).Link(), epoch1(t).Members(), nil)
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := link(epoch1(t))
	elsewhere.tx.Outputs[0].Data.Payload = foreign.Bytes()
	unsorted := link(epoch1(t), at(atPeer), at(atPeerBob))
	unsorted.tx.Inputs[1], unsorted.tx.Inputs[2] = unsorted.tx.Inputs[2], unsorted.tx.Inputs[1]
	second := mustGroup(t, 2, epoch0(t).Link(), nil)
	stranger := mustGroup(t, 1, epoch1(t).Link(), nil)
	return []refused{
		shaped("a link without data", notaryv1.Reason_REASON_MISSING_FIELD, "data", func(o *Output) { o.Data = nil }),
		shaped("a link with an address", output, "address", func(o *Output) { o.Address = aliceLock.Address() }),
		shaped("a link worth a coin", output, "amount", func(o *Output) { o.Amount = 1 }),
		shaped("a link for later", output, "not_before_ms", func(o *Output) { o.NotBeforeMS = 1 }),
		shaped("a link that is metadata", output, "data.kind", func(o *Output) { o.Data.Kind = notaryv1.DataKind_DATA_KIND_PEER_METADATA }),
		shaped("a link of another pace", bad, "min_age_ms", func(o *Output) { o.MinAgeMS = 1 }),
		shaped("a link without a group", bad, "data.payload", func(o *Output) { o.Data.Payload = []byte{0xff} }),
		unchecked(t, "a link beside a payment", bad, "outputs", link(epoch1(t, document)).Pay(aliceLock.Address(), Product{}, 1), carol),
		unchecked(t, "a link that names facilitators", bad, "facilitators", link(epoch1(t, document)).Facilitators(carol.Public()), carol),
		unchecked(t, "a link with a memo", bad, "memo", link(epoch1(t, document)).Memo([]byte{1}), carol),
		unchecked(t, "a link with salt", bad, "salt", link(epoch1(t, document)).Salt([]byte{1}), carol),
		unchecked(t, "a link with a window", bad, "valid_from_ms", link(epoch1(t, document)).Window(0, now), carol),
		unchecked(t, "a link that pays", bad, "inputs[1].kind", link(epoch1(t, document)).Spend(at(atAlice)), carol),
		unchecked(t, "a cut out of order", bad, "inputs[2].outpoint", unsorted, carol),
		unchecked(t, "a group of another network", bad, "outputs[0].data.payload.network", elsewhere, carol),
		unchecked(t, "a link from a payment", bad, "inputs[0].outpoint", NewLink(at(atAlice), nil, epoch1(t), testRules.EpochMS), carol),
		unchecked(t, "an epoch left out", bad, "outputs[0].data.payload.epoch", link(second), carol),
		unchecked(t, "another epoch before", bad, "outputs[0].data.payload.previous", link(stranger), carol),
		unchecked(t, "a cut of money", bad, "inputs[1].outpoint", link(epoch1(t), at(atAlice)), carol),
		unchecked(t, "a link without a member", notaryv1.Reason_REASON_MISSING_WITNESS, "inputs[0]", link(epoch1(t, document)), alice),
		unchecked(t, "a link with two members", notaryv1.Reason_REASON_UNUSED_WITNESS, "witnesses[1]", link(epoch1(t, document)), carol, bob),
		unchecked(t, "a link too early", notaryv1.Reason_REASON_LOCK_NOT_OPEN, "inputs[0].outpoint", link(epoch1(t), at(atPeer), at(atPeerBob)), carol),
	}
}
