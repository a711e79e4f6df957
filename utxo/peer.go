package utxo

import (
	"errors"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Origin is the outpoint that the first version of a peer's metadata spends: (peer id, 0). No transaction
// makes it, and every peer has it. It is why a peer has one chain of metadata: two first versions are a
// double spend, as two of any other number are.
func Origin(peer domain.Hash) Outpoint { return Outpoint{Tx: peer} }

// origin is what the first version spends, as if it had been made: nothing, and the master key's.
func origin(p *group.Peer) Output {
	return Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PEER, Address: KeyLock(p.Master).Address()}
}

// Origin is the outpoint that the transaction spends because it starts the chain of a peer; ok is false
// where it starts none.
func (tx *Tx) Origin() (o Outpoint, ok bool) {
	if tx.Peer == nil || tx.Peer.Version != 1 {
		return Outpoint{}, false
	}
	return Origin(tx.Peer.ID), true
}

// OriginEntry is the entry of the origin that the transaction starts from, before or after it is final.
func (tx *Tx) OriginEntry(spent bool) (e Entry, ok bool) {
	if _, ok = tx.Origin(); !ok {
		return Entry{}, false
	}
	if e.Output = origin(tx.Peer); spent {
		e.SpentBy = tx.ID
	}
	return e, true
}

// PeerOutput is the output that holds a version of a peer's metadata.
func PeerOutput(p *group.Peer) (Output, error) {
	payload, err := p.Encode()
	if err != nil {
		return Output{}, err
	}
	o := origin(p)
	o.Data = &Data{Kind: notaryv1.DataKind_DATA_KIND_PEER_METADATA, Payload: payload}
	return o, nil
}

// PeerOutpoint is where the metadata is that the transaction makes. It must make some.
func (tx *Tx) PeerOutpoint() Outpoint { return Outpoint{Tx: tx.ID, Index: uint32(tx.peerAt)} }

// readPeer finds the peer metadata that the transaction makes, if any, and applies the rules that need
// nothing but its bytes.
func readPeer(tx *Tx, r Rules) error {
	for i := range tx.Outputs {
		o := &tx.Outputs[i]
		if o.Kind != notaryv1.OutputKind_OUTPUT_KIND_PEER {
			continue
		}
		if tx.Peer != nil {
			return invalidPeer(element("outputs", i), "a transaction makes one version of one peer")
		}
		p, err := group.DecodePeer(o.Data.Payload)
		if err != nil {
			return within(notaryv1.Reason_REASON_INVALID_PEER, element("outputs", i)+".data.payload", err)
		}
		if o.Address != KeyLock(p.Master).Address() {
			return invalidPeer(element("outputs", i)+".address", "not that of the master key alone")
		}
		if work := group.Work(tx.Network, p.Master, p.Nonce); work < r.WorkBits {
			return refusal.New(notaryv1.Reason_REASON_WORK_TOO_LOW, element("outputs", i)+".data.payload.work_nonce", "%d bits, want %d", work, r.WorkBits)
		}
		tx.Peer, tx.peerAt = p, i
	}
	return checkFirstVersion(tx)
}

// checkFirstVersion: the first version spends the origin of its peer.
func checkFirstVersion(tx *Tx) error {
	start, first := tx.Origin()
	if !first {
		return nil
	}
	for _, o := range tx.Spends() {
		if o == start {
			return nil
		}
	}
	return invalidPeer("inputs", "the first version of a peer spends its origin %s", start)
}

// checkSuccession: a later version spends the one before it, of the same master key, and no key goes
// back to an earlier signing epoch, in which it may have voted already. No other metadata is spent.
func checkSuccession(j *judgement) error {
	succeeded := false
	start, first := j.tx.Origin()
	for i := range j.entries {
		o := &j.entries[i].Output
		if o.Kind != notaryv1.OutputKind_OUTPUT_KIND_PEER || !j.spends(i) {
			continue
		}
		field := element("inputs", i) + ".outpoint"
		if first {
			if j.tx.Inputs[i].Outpoint != start {
				return invalidPeer(field, "metadata spent beside the origin")
			}
			continue
		}
		old, err := group.DecodePeer(o.Data.Payload)
		if err != nil { // It was decoded when it became final.
			return within(notaryv1.Reason_REASON_INVALID_PEER, field, err)
		}
		if succeeded || old.ID != j.tx.Peer.ID || old.Version+1 != j.tx.Peer.Version {
			return invalidPeer(field, "version %d of peer %s is not what version %d of %s succeeds", old.Version, old.ID, j.tx.Peer.Version, j.tx.Peer.ID)
		}
		if err := checkSigningEpochs(old, j.tx); err != nil {
			return err
		}
		succeeded = true
	}
	if j.tx.Peer != nil && !first && !succeeded {
		return invalidPeer("inputs", "version %d spends version %d", j.tx.Peer.Version, j.tx.Peer.Version-1)
	}
	return nil
}

func checkSigningEpochs(old *group.Peer, tx *Tx) error {
	last := make(map[domain.PublicKey]uint32, len(old.Keys))
	for i := range old.Keys {
		last[old.Keys[i].Key] = old.Keys[i].SigningEpoch
	}
	for i := range tx.Peer.Keys {
		if k := &tx.Peer.Keys[i]; k.SigningEpoch < last[k.Key] {
			return invalidPeer(tx.keyField(i)+".key.signing_epoch", "%d, it was %d", k.SigningEpoch, last[k.Key])
		}
	}
	return nil
}

// CheckPossessions refuses metadata with a BLS key that nobody has proven to hold: BAD_SIGNATURE. It is the
// dearest rule of all, a millisecond or more a key, so it comes after the signatures.
func (tx *Tx) CheckPossessions() error {
	if tx.Peer == nil {
		return nil
	}
	if i := tx.Peer.Possessed(); i >= 0 {
		return refusal.New(notaryv1.Reason_REASON_BAD_SIGNATURE, tx.keyField(i)+".bls_possession", "does not verify")
	}
	return nil
}

// keyField is the path of the i-th key of the peer metadata that the transaction makes.
func (tx *Tx) keyField(i int) string {
	return element("outputs", tx.peerAt) + ".data.payload." + element("keys", i)
}

func invalidPeer(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_PEER, field, format, args...)
}

// within is a refusal of what lies inside a field, for one reason.
func within(reason notaryv1.Reason, prefix string, err error) error {
	var e *refusal.Error
	if errors.As(err, &e) && e.Field != "" {
		prefix += "." + e.Field
	}
	return refusal.New(reason, prefix, "%v", err)
}
