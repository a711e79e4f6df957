package utxo

import (
	"crypto/sha256"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

var (
	txSchema   = canonical.MustCompile(&notaryv1.Transaction{}, MaxTxBytes)
	bodySchema = canonical.MustCompile(&notaryv1.TransactionBody{}, MaxBodyBytes)
)

// Rules are what a network asks of the bytes of a transaction.
type Rules struct {
	Network domain.Hash
	// MaxBytes narrows MaxTxBytes; 0 keeps it.
	MaxBytes int
	// WorkBits is the work that peer metadata must show, EpochMS the age that a link's output must reach;
	// 0 asks for none and for any: that of whoever does not hold the genesis document.
	WorkBits int
	EpochMS  uint64
}

// RulesOf are the rules of a network.
func RulesOf(g *group.Genesis) Rules {
	return Rules{
		Network: g.ID, MaxBytes: int(g.Doc.GetLimits().GetMaxTransactionBytes()),
		WorkBits: g.WorkBits(), EpochMS: g.EpochMS(),
	}
}

// Decode reads a transaction and applies every rule that needs nothing but its bytes, the cheapest
// first. It does not verify signatures. The Tx keeps raw, which must not change any more.
//
// A network that narrows what a transaction may be has room for its links all the same, or it could never leave an
// epoch whose group has grown beyond that.
func Decode(raw []byte, r Rules) (*Tx, error) {
	if r.MaxBytes == 0 || len(raw) <= r.MaxBytes {
		return decode(raw, r)
	}
	if tx, err := decode(raw, r); err == nil && tx.Link != nil {
		return tx, nil
	}
	return nil, refusal.New(notaryv1.Reason_REASON_TOO_LARGE, "", "%d bytes, at most %d", len(raw), r.MaxBytes)
}

func decode(raw []byte, r Rules) (*Tx, error) {
	if err := txSchema.Check(raw); err != nil {
		return nil, err
	}
	var body []byte
	witnesses := make([][]byte, 0, 4)
	for f := range canonical.Fields(raw) {
		switch f.Number {
		case 1:
			body = f.Bytes
		case 2:
			witnesses = append(witnesses, f.Bytes)
		}
	}
	if len(body) == 0 {
		return nil, missing("body")
	}
	tx, err := DecodeBody(body, r)
	if err != nil {
		return nil, err
	}
	tx.Witnesses = listOf(tx.room.witnesses[:], len(witnesses))[:len(witnesses)]
	if len(witnesses) == 1 {
		w := &tx.Witnesses[0]
		w.Signatures, w.Lock.Keys = tx.room.signatures[:0], tx.room.keys[:0]
	}
	for i, b := range witnesses {
		if err := tx.Witnesses[i].parse(b); err != nil {
			return nil, refusal.Under(element("witnesses", i), err)
		}
	}
	if err := checkWitnesses(tx); err != nil {
		return nil, err
	}
	tx.Raw, tx.FullHash = raw, sha256.Sum256(raw)
	return tx, nil
}

// DecodeBody reads a TransactionBody that has no witnesses yet, as co-signers do, under the same
// rules. Raw and FullHash of the result are not set.
func DecodeBody(body []byte, r Rules) (*Tx, error) {
	if err := bodySchema.Check(body); err != nil {
		return nil, err
	}
	tx := &Tx{Body: body}
	if err := tx.parseBody(body); err != nil {
		return nil, err
	}
	if err := checkNetwork(tx, r.Network); err != nil {
		return nil, err
	}
	for _, check := range bodyRules {
		if err := check(tx); err != nil {
			return nil, err
		}
	}
	if err := readLink(tx, r); err != nil {
		return nil, err
	}
	if err := readPeer(tx, r); err != nil {
		return nil, err
	}
	tx.ID = domain.Sum(domain.TagTx, body)
	tx.spends = tx.appendOutpoints(listOf(tx.room.spends[:], len(tx.Inputs)), notaryv1.InputKind_INPUT_KIND_SPEND)
	return tx, nil
}

func (tx *Tx) parseBody(body []byte) (err error) {
	inputs, outputs := countLists(body)
	tx.Inputs, tx.Outputs = listOf(tx.room.inputs[:], inputs), listOf(tx.room.outputs[:], outputs)
	for f := range canonical.Fields(body) {
		switch f.Number {
		case 1:
			tx.Network, err = parseHash("network", f.Bytes)
		case 2:
			var in Input
			if in, err = parseInput(f.Bytes); err != nil {
				return refusal.Under(element("inputs", len(tx.Inputs)), err)
			}
			tx.Inputs = append(tx.Inputs, in)
		case 3:
			var out Output
			if out, err = parseOutput(f.Bytes); err != nil {
				return refusal.Under(element("outputs", len(tx.Outputs)), err)
			}
			tx.Outputs = append(tx.Outputs, out)
		case 4:
			tx.ValidFromMS = f.Value
		case 5:
			tx.ValidUntilMS = f.Value
		case 6:
			tx.Facilitators = append(tx.Facilitators, domain.PublicKey(f.Bytes))
		case 7:
			tx.Memo = f.Bytes
		case 8:
			tx.Salt = f.Bytes
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// countLists saves growing the two lists; the schema has bounded both.
func countLists(body []byte) (inputs, outputs int) {
	for f := range canonical.Fields(body) {
		switch f.Number {
		case 2:
			inputs++
		case 3:
			outputs++
		case 4:
			return inputs, outputs
		}
	}
	return inputs, outputs
}

func parseInput(b []byte) (in Input, err error) {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			in.Kind = notaryv1.InputKind(f.Value)
		case 2:
			for g := range canonical.Fields(f.Bytes) {
				switch g.Number {
				case 1:
					if in.Outpoint.Tx, err = parseHash("outpoint.transaction", g.Bytes); err != nil {
						return in, err
					}
				case 2:
					in.Outpoint.Index = uint32(g.Value)
				}
			}
		}
	}
	return in, nil
}

func (w *Witness) parse(b []byte) error {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			w.address = domain.Sum(domain.TagLock, f.Bytes)
			if err := w.Lock.parse(f.Bytes); err != nil {
				return refusal.Under("lock", err)
			}
		case 2:
			s, err := parseSignature(f.Bytes)
			if err != nil {
				return refusal.Under(element("signatures", len(w.Signatures)), err)
			}
			w.Signatures = append(w.Signatures, s)
		case 3:
			w.Preimage = f.Bytes
		}
	}
	if w.address.IsZero() {
		return missing("lock")
	}
	return nil
}

func (l *Lock) parse(b []byte) (err error) {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			l.Threshold = uint32(f.Value)
		case 2:
			l.Keys = append(l.Keys, domain.PublicKey(f.Bytes))
		case 3:
			l.HashLock, err = parseHash("hash_lock", f.Bytes)
		}
	}
	return err
}

func parseSignature(b []byte) (s LockSignature, err error) {
	signed := false
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			s.Key = uint32(f.Value)
		case 2:
			s.Signature, signed = domain.Signature(f.Bytes), true
		}
	}
	if !signed {
		return s, missing("signature")
	}
	return s, nil
}

func missing(field string) error {
	return refusal.New(notaryv1.Reason_REASON_MISSING_FIELD, field, "absent")
}
