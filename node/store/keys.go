package store

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Class is the first byte of every key: one kind of record.
type Class byte

// The classes of schema 3. Those of the index, which follow from the ledger (index), have capital letters and so a range of keys of their own.
// 'c' (contests) and 'r' (reward epochs) are kept for records to come.
const (
	ClassAddress    Class = 'A' // address, product, outpoint -> amount: live outputs by address
	ClassFinal      Class = 'E' // id of a final transaction -> its place in the ledger
	ClassIndexed    Class = 'I' // -> the place up to which the index has the ledger
	ClassAddressLog Class = 'L' // address, cursor -> output created or spent
	ClassSpent      Class = 'S' // outpoint -> id of the final transaction that spent it
	ClassLive       Class = 'U' // outpoint -> live output

	ClassSheaf       Class = 'b' // number -> own votes, and transactions pending by them, of one batch (sheaf)
	ClassProduct     Class = 'd' // product -> what its issuer calls it
	ClassLedger      Class = 'f' // place -> final transaction: id, how it became final, exact bytes
	ClassGenesis     Class = 'g' // index -> output of the genesis document
	ClassHead        Class = 'h' // node key, signing epoch -> newest observation
	ClassIntern      Class = 'i' // number -> 32 bytes that records name by the number
	ClassRejected    Class = 'j' // transaction id -> why it was rejected
	ClassFork        Class = 'k' // node key, signing epoch, height, hash -> further observation
	ClassMeta        Class = 'm' // name -> identity of the store, counters
	ClassPending     Class = 'n' // transaction id -> voted on, not decided, by no sheaf
	ClassObservation Class = 'o' // node key, signing epoch, height -> observation
	ClassPeer        Class = 'p' // peer id -> outpoint of its newest metadata
	ClassRejectedLog Class = 'q' // sequence number -> transaction id, oldest rejection first
	ClassTx          Class = 't' // transaction id -> exact bytes, where neither the ledger nor a sheaf has them
	ClassVote        Class = 'v' // outpoint, round, state -> own vote (conflict.Record) that is in no sheaf
	ClassProof       Class = 'w' // transaction id -> acceptance proof kept beyond its observations
	ClassEvidence    Class = 'x' // hash -> evidence
)

// Classes are all classes in key order with their names in metrics.
var Classes = []struct {
	Class Class
	Name  string
}{
	{ClassAddress, "addresses"}, {ClassFinal, "finals"}, {ClassIndexed, "indexed"}, {ClassAddressLog, "address_log"},
	{ClassSpent, "spent"}, {ClassLive, "live"},
	{ClassSheaf, "sheaves"}, {ClassProduct, "products"}, {ClassLedger, "ledger"}, {ClassGenesis, "genesis"}, {ClassHead, "heads"},
	{ClassIntern, "interned"}, {ClassRejected, "rejected"}, {ClassFork, "forks"}, {ClassMeta, "meta"}, {ClassPending, "pending"},
	{ClassObservation, "observations"}, {ClassPeer, "peers"}, {ClassRejectedLog, "rejected_log"}, {ClassTx, "transactions"},
	{ClassVote, "votes"}, {ClassProof, "proofs"}, {ClassEvidence, "evidence"},
}

// Lengths of what keys are made of, and of whole keys, in bytes.
const (
	outpointLen = utxo.OutpointSize
	chainLen    = domain.PublicKeySize + 4

	nativeKeyLen      = 1 + domain.Size + 1 + outpointLen
	addressKeyLen     = nativeKeyLen + domain.Size
	hashKeyLen        = 1 + domain.Size
	sequenceKeyLen    = 1 + 8
	numberKeyLen      = 1 + 4
	outpointKeyLen    = 1 + outpointLen
	headKeyLen        = 1 + chainLen
	observationKeyLen = headKeyLen + 8
	forkKeyLen        = observationKeyLen + domain.Size
	addressLogKeyLen  = 1 + domain.Size + 8
)

// Names of the records in ClassMeta.
const (
	metaSchema  = "schema"
	metaNetwork = "network"
	metaKey     = "key"
	metaCounts  = "counts"
	metaSigning = "signing"
	metaPruned  = "pruned"
	metaEntered = "entered"
	metaClear   = "clear"
	// metaBegan is there in a store that began from a snapshot, metaBeginning while it does.
	metaBegan     = "began"
	metaBeginning = "beginning"
)

// indexedKey is the only key of ClassIndexed.
var indexedKey = []byte{byte(ClassIndexed)}

func appendMetaKey(b []byte, name string) []byte {
	return append(append(b, byte(ClassMeta)), name...)
}

// appendHashKey makes the keys of the classes that are keyed by a hash alone.
func appendHashKey(b []byte, c Class, h domain.Hash) []byte {
	return append(append(b, byte(c)), h[:]...)
}

func parseHashKey(c Class, k []byte) (domain.Hash, error) {
	if len(k) != hashKeyLen || k[0] != byte(c) {
		return domain.Hash{}, corrupt("key %x of class %c", k, c)
	}
	return domain.Hash(k[1:]), nil
}

// appendSequenceKey makes the keys of ClassLedger, ClassRejectedLog and ClassSheaf.
func appendSequenceKey(b []byte, c Class, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(c)), seq)
}

func parseSequenceKey(c Class, k []byte) (uint64, error) {
	if len(k) != sequenceKeyLen || k[0] != byte(c) {
		return 0, corrupt("key %x of class %c", k, c)
	}
	return binary.BigEndian.Uint64(k[1:]), nil
}

// appendNumberKey makes the keys of ClassGenesis and ClassIntern.
func appendNumberKey(b []byte, c Class, n uint32) []byte {
	return binary.BigEndian.AppendUint32(append(b, byte(c)), n)
}

func parseNumberKey(c Class, k []byte) (uint32, error) {
	if len(k) != numberKeyLen || k[0] != byte(c) {
		return 0, corrupt("key %x of class %c", k, c)
	}
	return binary.BigEndian.Uint32(k[1:]), nil
}

func appendOutpoint(b []byte, o utxo.Outpoint) []byte {
	return binary.BigEndian.AppendUint32(append(b, o.Tx[:]...), o.Index)
}

// outpointAt reads the first 36 bytes of b.
func outpointAt(b []byte) utxo.Outpoint {
	return utxo.Outpoint{Tx: domain.Hash(b[:domain.Size]), Index: binary.BigEndian.Uint32(b[domain.Size:])}
}

// appendOutpointKey makes the keys of ClassLive and ClassSpent.
func appendOutpointKey(b []byte, c Class, o utxo.Outpoint) []byte {
	return appendOutpoint(append(b, byte(c)), o)
}

func parseOutpointKey(c Class, k []byte) (utxo.Outpoint, error) {
	if len(k) != outpointKeyLen || k[0] != byte(c) {
		return utxo.Outpoint{}, corrupt("key %x of class %c", k, c)
	}
	return outpointAt(k[1:]), nil
}

// appendVoteKey makes the keys of ClassVote: what conflict makes of a record, behind the class.
func appendVoteKey(b []byte, r *conflict.Record) []byte {
	key := r.Key()
	return append(append(b, byte(ClassVote)), key[:]...)
}

// addressKey is a key of ClassAddress: the native coin is a zero, other products are their hash behind a one.
type addressKey struct {
	Address  utxo.Address
	Product  utxo.Product
	Outpoint utxo.Outpoint
}

func appendAddressPrefix(b []byte, a utxo.Address) []byte {
	return append(append(b, byte(ClassAddress)), a[:]...)
}

func (k addressKey) append(b []byte) []byte {
	b = appendAddressPrefix(b, k.Address)
	if k.Product.IsZero() {
		b = append(b, 0)
	} else {
		b = append(append(b, 1), k.Product[:]...)
	}
	return appendOutpoint(b, k.Outpoint)
}

func parseAddressKey(k []byte) (addressKey, error) {
	const product = 1 + domain.Size
	if len(k) >= nativeKeyLen && k[0] == byte(ClassAddress) {
		a := addressKey{Address: domain.Hash(k[1:product]), Outpoint: outpointAt(k[len(k)-outpointLen:])}
		switch {
		case k[product] == 0 && len(k) == nativeKeyLen:
			return a, nil
		case k[product] == 1 && len(k) == addressKeyLen:
			if a.Product = domain.Hash(k[product+1:]); !a.Product.IsZero() {
				return a, nil
			}
		}
	}
	return addressKey{}, corrupt("key %x of class %c", k, ClassAddress)
}

// appendChain makes the keys of ClassHead and the prefixes of ClassObservation and ClassFork.
func appendChain(b []byte, class Class, c observation.ChainID) []byte {
	return binary.BigEndian.AppendUint32(append(append(b, byte(class)), c.Key[:]...), c.SigningEpoch)
}

func chainAt(b []byte) observation.ChainID {
	return observation.ChainID{
		Key:          domain.PublicKey(b[:domain.PublicKeySize]),
		SigningEpoch: binary.BigEndian.Uint32(b[domain.PublicKeySize:]),
	}
}

func parseHeadKey(k []byte) (observation.ChainID, error) {
	if len(k) != headKeyLen || k[0] != byte(ClassHead) {
		return observation.ChainID{}, corrupt("key %x of class %c", k, ClassHead)
	}
	return chainAt(k[1:]), nil
}

func appendObservationKey(b []byte, c observation.ChainID, height uint64) []byte {
	return binary.BigEndian.AppendUint64(appendChain(b, ClassObservation, c), height)
}

func parseObservationKey(k []byte) (observation.ChainID, uint64, error) {
	if len(k) != observationKeyLen || k[0] != byte(ClassObservation) {
		return observation.ChainID{}, 0, corrupt("key %x of class %c", k, ClassObservation)
	}
	return chainAt(k[1:]), binary.BigEndian.Uint64(k[headKeyLen:]), nil
}

func appendForkPrefix(b []byte, c observation.ChainID, height uint64) []byte {
	return binary.BigEndian.AppendUint64(appendChain(b, ClassFork, c), height)
}

func appendForkKey(b []byte, c observation.ChainID, height uint64, hash domain.Hash) []byte {
	return append(appendForkPrefix(b, c, height), hash[:]...)
}

func parseForkKey(k []byte) (observation.ChainID, uint64, domain.Hash, error) {
	if len(k) != forkKeyLen || k[0] != byte(ClassFork) {
		return observation.ChainID{}, 0, domain.Hash{}, corrupt("key %x of class %c", k, ClassFork)
	}
	return chainAt(k[1:]), binary.BigEndian.Uint64(k[headKeyLen:]), domain.Hash(k[observationKeyLen:]), nil
}

func appendAddressLogKey(b []byte, a utxo.Address, cursor uint64) []byte {
	b = append(append(b, byte(ClassAddressLog)), a[:]...)
	return binary.BigEndian.AppendUint64(b, cursor)
}

func parseAddressLogKey(k []byte) (utxo.Address, uint64, error) {
	if len(k) != addressLogKeyLen || k[0] != byte(ClassAddressLog) {
		return utxo.Address{}, 0, corrupt("key %x of class %c", k, ClassAddressLog)
	}
	return domain.Hash(k[1 : 1+domain.Size]), binary.BigEndian.Uint64(k[1+domain.Size:]), nil
}

// after is the least key that is greater than every key with this prefix; nil where there is none.
func after(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			b := append([]byte(nil), prefix[:i+1]...)
			b[i]++
			return b
		}
	}
	return nil
}
