package conflict

import (
	"encoding/binary"
	"fmt"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Lengths in bytes of a record as it is kept on disk (docs/spec/voting.md, section 3).
const (
	RecordKeySize   = 36 + 4 + 1
	RecordValueSize = 1 + 32 + 8 + 1 + 8 + 4

	recordValueSize1 = 1 + 32 + 8 + 1 + 4
)

// Every value opens with its version. The first one held no epoch of the certificate, since there was only one epoch.
const (
	recordVersion1 = 1
	recordVersion  = 2
)

// Flags of a value.
const (
	flagCertificate = 1 << iota
	flagReleased
)

// Key is outpoint 36 | round 4 | state 1, big-endian: records of one outpoint sort by round.
func (r *Record) Key() (b [RecordKeySize]byte) {
	o := r.Outpoint.Bytes()
	out := append(b[:0], o[:]...)
	out = binary.BigEndian.AppendUint32(out, r.Round)
	_ = append(out, byte(r.State))
	return b
}

// Value is version 1 | tx 32 | epoch 8 | flags 1 (certificate known, released) | certificate epoch 8, round 4.
func (r *Record) Value() (b [RecordValueSize]byte) {
	out := append(b[:0], recordVersion)
	out = append(out, r.Tx[:]...)
	out = binary.BigEndian.AppendUint64(out, r.Epoch)
	var flags byte
	if r.Certificate.Known {
		flags |= flagCertificate
	}
	if r.Released {
		flags |= flagReleased
	}
	out = append(out, flags)
	out = binary.BigEndian.AppendUint64(out, r.Certificate.Epoch)
	binary.BigEndian.AppendUint32(out, r.Certificate.Round)
	return b
}

// DecodeRecord reads what Key and Value wrote, in this version or an earlier one. Anything else is an error: a node that
// cannot read its own votes must not vote.
func DecodeRecord(key, value []byte) (Record, error) {
	want := RecordValueSize
	if len(value) > 0 && value[0] == recordVersion1 {
		want = recordValueSize1
	}
	if len(key) != RecordKeySize || len(value) != want {
		return Record{}, fmt.Errorf("vote record of %d and %d bytes, want %d and %d", len(key), len(value), RecordKeySize, want)
	}
	if value[0] != recordVersion1 && value[0] != recordVersion {
		return Record{}, fmt.Errorf("vote record of version %d, want up to %d", value[0], recordVersion)
	}
	r := Record{
		Outpoint: utxo.Outpoint{Tx: domain.Hash(key[:32]), Index: binary.BigEndian.Uint32(key[32:])},
		Round:    binary.BigEndian.Uint32(key[36:]),
		State:    observation.State(key[40]),
		Tx:       domain.Hash(value[1:33]),
		Epoch:    binary.BigEndian.Uint64(value[33:]),
	}
	flags := value[41]
	cert := CertAt(r.Epoch, binary.BigEndian.Uint32(value[len(value)-4:]))
	if value[0] == recordVersion {
		cert.Epoch = binary.BigEndian.Uint64(value[42:])
	}
	r.Released = flags&flagReleased != 0
	switch {
	case flags&flagCertificate != 0:
		r.Certificate = cert
	case cert.Round != 0 || value[0] == recordVersion && cert.Epoch != 0:
		return Record{}, fmt.Errorf("vote record with epoch %d and round %d of no certificate", cert.Epoch, cert.Round)
	}
	if flags&^(flagCertificate|flagReleased) != 0 || !guarded(r.State) && r.State != observation.Inherited {
		return Record{}, fmt.Errorf("vote record with state %d and flags %#x", r.State, flags)
	}
	if r.State == observation.Inherited && (!r.Certificate.Known || r.Certificate.Round != r.Round || r.Certificate.Epoch >= r.Epoch) {
		return Record{}, fmt.Errorf("inherited lock of round %d and epoch %d by certificate %+v", r.Round, r.Epoch, r.Certificate)
	}
	return r, nil
}
