package gossip

import (
	"fmt"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/notarynet/notaryd/proto/domain"
)

// idPrefix starts the peer id of every Ed25519 key: the identity multihash (code 0x00, 36 bytes) of the
// libp2p PublicKey message {Type: Ed25519 (1), Data: 32 bytes} (libp2p peer-ids specification).
const idPrefix = "\x00\x24\x08\x01\x12\x20"

// PeerID is the libp2p peer id of a node key.
func PeerID(key domain.PublicKey) peer.ID { return peer.ID(idPrefix + string(key[:])) }

// NodeKey is the node key of a libp2p peer id; false where the peer has another kind of key, which no
// node of a notary network has.
func NodeKey(id peer.ID) (domain.PublicKey, bool) {
	if len(id) != len(idPrefix)+domain.PublicKeySize || id[:len(idPrefix)] != idPrefix {
		return domain.PublicKey{}, false
	}
	return domain.PublicKey([]byte(id[len(idPrefix):])), true
}

// hostKey is the node key as libp2p wants it. The handshakes sign under prefixes of their own
// ("noise-libp2p-static-key:", "libp2p-tls-handshake:"), which no tag of the protocol begins with, so
// one key may serve both.
func hostKey(key domain.PrivateKey) (crypto.PrivKey, error) {
	seed, public := key.Seed(), key.Public()
	k, err := crypto.UnmarshalEd25519PrivateKey(append(seed[:], public[:]...))
	if err != nil {
		return nil, fmt.Errorf("node key: %w", err)
	}
	return k, nil
}
