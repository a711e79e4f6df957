package growth

import (
	"encoding/binary"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// coinAmount is what an output holds, in base units.
const coinAmount = 1000

// owners are keys that share the outputs: the i-th output belongs to the i-th of them, round and round.
type owners struct {
	keys      []domain.PrivateKey
	addresses []utxo.Address
}

func newOwners(n int) *owners {
	o := &owners{keys: make([]domain.PrivateKey, n), addresses: make([]utxo.Address, n)}
	for i := range o.keys {
		o.keys[i] = domain.NewPrivateKey(domain.Sum(domain.TagLock, binary.BigEndian.AppendUint64([]byte("growth"), uint64(i))))
		o.addresses[i] = utxo.KeyLock(o.keys[i].Public()).Address()
	}
	return o
}

// output is the i-th output.
func (o *owners) output(i int) utxo.Output {
	return utxo.Output{Kind: notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, Address: o.addresses[i%len(o.addresses)], Amount: coinAmount}
}

// pay spends the i-th output, which is at an outpoint, and makes one for the owner after it: the canonical bytes and
// where the new output is. Whose that one is output(i+1) says.
func (o *owners) pay(network domain.Hash, i int, at utxo.Outpoint) (raw []byte, made utxo.Outpoint, err error) {
	d, err := utxo.NewBuilder(network).Spend(at).Output(o.output(i + 1)).Build()
	if err != nil {
		return nil, made, err
	}
	return d.Sign(o.keys[i%len(o.keys)]).Raw(), utxo.Outpoint{Tx: d.ID()}, nil
}
