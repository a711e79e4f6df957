package refverify

import (
	"fmt"
	"unicode/utf8"
)

// Refusal says which part of a proof is wrong.
type Refusal struct {
	// Field is the path of the part, such as "observations[1].signature".
	Field string
	// Why is for people.
	Why string
}

// Error implements error.
func (r *Refusal) Error() string { return r.Field + ": " + r.Why }

func refuse(field, format string, args ...any) error {
	return &Refusal{Field: field, Why: fmt.Sprintf(format, args...)}
}

// kind is how a field is encoded.
type kind int

const (
	number64 kind = iota // varint
	number32             // varint below 2^32
	enum                 // varint of 32 bits with their sign
	octets               // length and bytes
	text                 // length and UTF-8
	message              // length and the fields of another message
)

// field is one line of a .proto file with its bounds.
type field struct {
	name string
	kind kind
	list bool
	// size is an exact length, most the greatest length, items the greatest count; 0 for none.
	size, most, items int
	// of are the fields of a message that is read strictly too; nil leaves its bytes alone.
	of fields
}

// fields are a message by field number.
type fields map[uint64]field

// value is a field as it was read.
type value struct {
	number uint64
	uint   uint64
	bytes  []byte
}

// The messages of docs/spec/proof.md with their bounds.
var (
	lockFields = fields{
		1: {name: "threshold", kind: number32},
		2: {name: "keys", kind: octets, list: true, size: 32, items: 16},
		3: {name: "hash_lock", kind: octets, size: 32},
	}
	lockSignatureFields = fields{
		1: {name: "key", kind: number32},
		2: {name: "signature", kind: octets, size: 64},
	}
	witnessFields = fields{
		1: {name: "lock", kind: message, most: 640, of: lockFields},
		2: {name: "signatures", kind: message, list: true, most: 72, items: 16, of: lockSignatureFields},
		3: {name: "preimage", kind: octets, size: 32},
	}
	transactionFields = fields{
		1: {name: "body", kind: octets, most: 245_760},
		2: {name: "witnesses", kind: message, list: true, most: 2048, items: 256, of: witnessFields},
	}
	outpointFields = fields{
		1: {name: "transaction", kind: octets, size: 32},
		2: {name: "index", kind: number32},
	}
	inputFields = fields{
		1: {name: "kind", kind: enum},
		2: {name: "outpoint", kind: message, most: 48, of: outpointFields},
	}
	dataFields = fields{
		1: {name: "kind", kind: enum},
		2: {name: "payload", kind: octets, most: 196_608},
		3: {name: "hash", kind: octets, size: 32},
		4: {name: "size", kind: number64},
		5: {name: "media_type", kind: text, most: 128},
		6: {name: "location", kind: text, most: 512},
	}
	outputFields = fields{
		1: {name: "address", kind: octets, size: 32},
		2: {name: "product", kind: octets, size: 32},
		3: {name: "amount", kind: number64},
		4: {name: "kind", kind: enum},
		5: {name: "data", kind: message, most: 197_632, of: dataFields},
		6: {name: "not_before_ms", kind: number64},
		7: {name: "min_age_ms", kind: number64},
		8: {name: "counterparty", kind: octets, size: 32},
	}
	bodyFields = fields{
		1: {name: "network", kind: octets, size: 32},
		2: {name: "inputs", kind: message, list: true, most: 64, items: 256, of: inputFields},
		3: {name: "outputs", kind: message, list: true, most: 200_704, items: 256, of: outputFields},
		4: {name: "valid_from_ms", kind: number64},
		5: {name: "valid_until_ms", kind: number64},
		6: {name: "facilitators", kind: octets, list: true, size: 32, items: 8},
		7: {name: "memo", kind: octets, most: 256},
		8: {name: "salt", kind: octets, most: 32},
	}
	linkFields = fields{
		1: {name: "transaction", kind: octets, most: 262_144},
		2: {name: "proof", kind: octets, most: 786_432},
		3: {name: "group", kind: octets, most: 196_608},
	}
	groupFields = fields{
		1: {name: "network", kind: octets, size: 32},
		2: {name: "epoch", kind: number64},
		3: {name: "previous", kind: octets, size: 32},
		4: {name: "members", kind: message, list: true, most: 4096, items: 1024, of: memberFields},
		5: {name: "evidence", kind: octets, list: true, size: 32, items: 1024},
	}
	rewardFields = fields{
		1: {name: "epochs", kind: number32},
		2: {name: "units_per_epoch", kind: number64},
	}
	edgeFields = fields{
		1: {name: "observation", kind: number32},
		2: {name: "leaf_index", kind: number32},
		3: {name: "leaf_time_ms", kind: number64},
		4: {name: "path", kind: octets, most: 1024},
	}
	provenFields = fields{
		1: {name: "transaction_id", kind: octets, size: 32},
		2: {name: "transaction", kind: octets, most: 262_144},
		3: {name: "round", kind: number32},
		4: {name: "edges", kind: message, list: true, most: 1100, items: 65_536, of: edgeFields},
	}
	observationFields = fields{
		1: {name: "key_index", kind: number32},
		2: {name: "signing_epoch", kind: number32},
		3: {name: "height", kind: number64},
		4: {name: "previous", kind: octets, size: 32},
		5: {name: "root", kind: octets, size: 32},
		6: {name: "leaf_count", kind: number32},
		7: {name: "time_ms", kind: number64},
		8: {name: "signature", kind: octets, size: 64},
	}
	proofFields = fields{
		1: {name: "network", kind: octets, size: 32},
		2: {name: "group_epoch", kind: number64},
		3: {name: "link", kind: octets, size: 32},
		4: {name: "links", kind: octets, list: true, most: 1 << 20, items: 4096},
		5: {name: "observations", kind: message, list: true, most: 256, items: 65_536, of: observationFields},
		6: {name: "transactions", kind: message, list: true, most: 8_388_608, items: 65_536, of: provenFields},
	}
	nodeKeyFields = fields{
		1: {name: "key", kind: octets, size: 32},
		2: {name: "signing_epoch", kind: number32},
		3: {name: "bls_key", kind: octets, size: 48},
	}
	memberFields = fields{
		1: {name: "peer_id", kind: octets, size: 32},
		2: {name: "weight", kind: number64},
		3: {name: "keys", kind: message, list: true, most: 112, items: 32, of: nodeKeyFields},
	}
	genesisFields = fields{
		1: {name: "name", kind: octets, most: 32},
		2: {name: "address_prefix", kind: octets, most: 16},
		3: {name: "time_ms", kind: number64},
		4: {name: "seeds", kind: message, list: true, most: 4096, items: 1024, of: memberFields},
		5: {name: "allocations", kind: message, list: true, most: 200_704, items: 65_536},
		6: {name: "rewards", kind: message, most: 64},
		7: {name: "limits", kind: message, most: 64},
		8: {name: "bls_possessions", kind: octets, list: true, size: 96, items: 32_768},
	}
)

// check refuses any encoding of a message but the canonical one, down to its innermost messages.
func (m fields) check(path string, b []byte) error {
	return m.walk(path, b, func(v value, at string) error {
		if f := m[v.number]; f.of != nil {
			return f.of.check(at, v.bytes)
		}
		return nil
	})
}

// walk reads the fields of one message in order. It refuses unknown, repeated, unordered and default
// fields, numbers that are longer than they need be, and what exceeds its bound. Messages within are the
// caller's matter.
func (m fields) walk(path string, b []byte, each func(v value, at string) error) error {
	var last uint64
	count := 0
	for len(b) > 0 {
		tag, rest, err := varint(path, b)
		if err != nil {
			return err
		}
		v := value{number: tag >> 3}
		f, known := m[v.number]
		if !known || tag&7 > 5 {
			return refuse(path, "unknown field %d or wire type %d", v.number, tag&7)
		}
		at := join(path, f.name)
		if want := f.wire(); tag&7 != want {
			return refuse(at, "wire type %d, want %d", tag&7, want)
		}
		if v.number < last || (v.number == last && !f.list) {
			return refuse(at, "out of order or twice")
		}
		if v.number != last {
			last, count = v.number, 0
		}
		if f.list {
			if count == f.items {
				return refuse(at, "more than %d elements", f.items)
			}
			at = fmt.Sprintf("%s[%d]", at, count)
			count++
		}
		if b, err = f.read(&v, rest, at); err != nil {
			return err
		}
		if err := each(v, at); err != nil {
			return err
		}
	}
	return nil
}

// wire is the wire type of a field.
func (f field) wire() uint64 {
	if f.kind == number32 || f.kind == number64 || f.kind == enum {
		return 0
	}
	return 2
}

// read takes the value of a field off b.
func (f field) read(v *value, b []byte, at string) ([]byte, error) {
	n, rest, err := varint(at, b)
	if err != nil {
		return nil, err
	}
	if f.wire() == 0 {
		if n == 0 {
			return nil, refuse(at, "a default is left out")
		}
		if f.kind == number32 && n >= 1<<32 {
			return nil, refuse(at, "%d exceeds 32 bits", n)
		}
		if f.kind == enum && n != uint64(int64(int32(n))) {
			return nil, refuse(at, "%d exceeds 32 bits", n)
		}
		v.uint = n
		return rest, nil
	}
	switch {
	case n > uint64(len(rest)):
		return nil, refuse(at, "%d bytes announced, %d there", n, len(rest))
	case f.size != 0 && n != uint64(f.size):
		return nil, refuse(at, "%d bytes, want %d", n, f.size)
	case f.most != 0 && n > uint64(f.most):
		return nil, refuse(at, "%d bytes, at most %d", n, f.most)
	case n == 0 && f.kind != message && !f.list:
		return nil, refuse(at, "a default is left out")
	case f.kind == text && !utf8.Valid(rest[:n]):
		return nil, refuse(at, "not UTF-8")
	}
	v.bytes = rest[:n]
	return rest[n:], nil
}

// varint reads seven bits a byte, lowest first, in as few bytes as can be.
func varint(at string, b []byte) (uint64, []byte, error) {
	var n uint64
	for i, c := range b {
		if i == 10 || (i == 9 && c > 1) {
			return 0, nil, refuse(at, "a number above 64 bits")
		}
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			if c == 0 && i > 0 {
				return 0, nil, refuse(at, "a number longer than needed")
			}
			return n, b[i+1:], nil
		}
	}
	return 0, nil, refuse(at, "cut off")
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
