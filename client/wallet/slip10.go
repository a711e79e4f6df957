package wallet

import (
	"crypto/hmac"
	"crypto/sha512"
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
)

// CoinType is the second step of the derivation path, the ASCII bytes "nota" as a big-endian number.
// SLIP-44 has registered nothing under it.
const CoinType = 0x6e6f7461

// MaxAccount is the greatest account number: the top bit of a path step marks it as hardened.
const MaxAccount = 1<<31 - 1

// purpose is the first step of the path, as BIP-44 has it.
const purpose = 44

const hardened = 1 << 31

// node is a private key with its chain code (SLIP-10).
type node struct {
	key   [32]byte
	chain [32]byte
}

// master is the root of the tree of a seed (SLIP-10, "Master key generation", curve ed25519).
func master(seed []byte) node { return split([]byte("ed25519 seed"), seed) }

// child derives the hardened child of an index below 2^31; ed25519 has no other children.
func (n node) child(index uint32) node {
	var data [37]byte
	copy(data[1:], n.key[:])
	binary.BigEndian.PutUint32(data[33:], index|hardened)
	return split(n.chain[:], data[:])
}

func split(key, data []byte) (n node) {
	mac := hmac.New(sha512.New, key)
	mac.Write(data)
	sum := mac.Sum(nil)
	copy(n.key[:], sum[:32])
	copy(n.chain[:], sum[32:])
	return n
}

// DeriveKey is the Ed25519 key at m/44'/1852798049'/account' of a BIP-39 seed. Accounts above
// MaxAccount are taken modulo 2^31.
func DeriveKey(seed []byte, account uint32) domain.PrivateKey {
	n := master(seed).child(purpose).child(CoinType).child(account)
	return domain.NewPrivateKey(n.key)
}
