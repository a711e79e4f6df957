package store

import (
	"github.com/cockroachdb/pebble/v2"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// Metadata is the newest final metadata of a peer, and the outpoint that holds it.
type Metadata struct {
	Outpoint utxo.Outpoint
	Peer     *group.Peer
}

// PeerMetadata is the newest metadata of one peer; ok is false where none is final here.
func (s *Store) PeerMetadata(peer domain.Hash) (m Metadata, ok bool, err error) {
	if err := s.enter(); err != nil {
		return Metadata{}, false, err
	}
	defer s.leave()
	value, ok, err := s.get(s.db, appendHashKey(nil, ClassPeer, peer))
	if err != nil || !ok {
		return Metadata{}, false, err
	}
	m, err = s.metadata(s.now(), value)
	return m, err == nil, err
}

// metadata takes a record of ClassPeer apart and reads what it points to.
func (s *Store) metadata(r pebble.Reader, value []byte) (Metadata, error) {
	v := read(value)
	at := v.take(outpointLen)
	if err := v.done("peer"); err != nil {
		return Metadata{}, s.fail(err)
	}
	m := Metadata{Outpoint: outpointAt(at)}
	output, _, err := s.anyOutput(r, m.Outpoint)
	if err != nil {
		return Metadata{}, err
	}
	if output.Data == nil {
		return Metadata{}, s.fail(corrupt("no metadata at %s", m.Outpoint))
	}
	if m.Peer, err = group.DecodePeer(output.Data.Payload); err != nil {
		return Metadata{}, s.fail(corrupt("metadata at %s: %v", m.Outpoint, err))
	}
	return m, nil
}
