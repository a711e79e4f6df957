package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// maxInline is the length in bytes up to which an output is kept in its own record. A longer one is
// read from the bytes of its transaction, which hold it already.
const maxInline = 512

// liveValue is a record of ClassLive and ClassGenesis. An absent Output is in the transaction.
type liveValue struct {
	FinalMS uint64
	Output  []byte
}

func newLiveValue(finalMS uint64, o *utxo.Output) liveValue {
	b := o.AppendTo(nil)
	if len(b) > maxInline {
		b = nil
	}
	return liveValue{FinalMS: finalMS, Output: b}
}

func (v liveValue) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(append(b, version1), v.FinalMS)
	return append(b, v.Output...)
}

func decodeLive(value []byte) (liveValue, error) {
	r := read(value)
	v := liveValue{FinalMS: r.uint64(), Output: r.tail()}
	return v, r.done("live output")
}

// spentValue is a record of ClassSpent. Output is kept where the transaction that made it is not here, in a store that
// began from a snapshot; else it is in the transaction.
type spentValue struct {
	By     domain.Hash
	Output []byte
}

func (v spentValue) append(b []byte) []byte { return append(appendID(b, v.By), v.Output...) }

func decodeSpent(value []byte) (spentValue, error) {
	r := read(value)
	v := spentValue{By: r.hash(), Output: r.tail()}
	return v, r.done("spent outpoint")
}

// appendID and decodeID are records of ClassRejectedLog: a transaction id.
func appendID(b []byte, id domain.Hash) []byte {
	return append(append(b, version1), id[:]...)
}

func decodeID(value []byte) (domain.Hash, error) {
	r := read(value)
	id := r.hash()
	return id, r.done("transaction id")
}

// appendAmount and decodeAmount are records of ClassAddress.
func appendAmount(b []byte, amount uint64) []byte {
	return binary.AppendUvarint(append(b, version1), amount)
}

func decodeAmount(value []byte) (uint64, error) {
	r := read(value)
	amount := r.uvarint()
	return amount, r.done("amount")
}

// appendBytes and decodeBytes are records that are somebody's exact bytes: transactions,
// product descriptions, interned values.
func appendBytes(b, raw []byte) []byte {
	return append(append(b, version1), raw...)
}

func decodeBytes(value []byte) ([]byte, error) {
	r := read(value)
	raw := r.tail()
	return raw, r.done("bytes")
}

// eventValue is a record of ClassAddressLog. The transaction is known from the sequence number in
// the key, and of what it spent which by the number of the event.
type eventValue struct {
	Spent bool
	// Index is that of an output that was created.
	Index uint32
}

const (
	eventCreated = 1
	eventSpent   = 2
)

func (v eventValue) append(b []byte) []byte {
	if v.Spent {
		return append(b, version1, eventSpent)
	}
	return binary.AppendUvarint(append(b, version1, eventCreated), uint64(v.Index))
}

func decodeEvent(value []byte) (eventValue, error) {
	r := read(value)
	var v eventValue
	switch r.byte() {
	case eventCreated:
		v.Index = r.uint32()
	case eventSpent:
		v.Spent = true
	default:
		r.bad = true
	}
	return v, r.done("address event")
}

// appendObservation and decodeObservation are records of ClassObservation and ClassFork.
func appendObservation(b []byte, hash domain.Hash, raw []byte) []byte {
	return append(append(append(b, version1), hash[:]...), raw...)
}

func decodeObservation(value []byte) (hash domain.Hash, raw []byte, err error) {
	r := read(value)
	hash, raw = r.hash(), r.tail()
	return hash, raw, r.done("observation")
}
