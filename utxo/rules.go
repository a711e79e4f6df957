package utxo

import (
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// bodyRules are the rules that the bytes of a body decide alone, the cheapest first.
var bodyRules = [...]func(*Tx) error{
	checkInputs,
	checkHasSpend,
	checkHasOutput,
	checkWindowOrder,
	checkFacilitators,
	checkSums,
	checkOutputs,
	checkDistinct,
	checkProductInfo,
}

// checkNetwork: made for this network and no other.
func checkNetwork(tx *Tx, network domain.Hash) error {
	if tx.Network.IsZero() {
		return missing("network")
	}
	if tx.Network != network {
		return refusal.New(notaryv1.Reason_REASON_WRONG_NETWORK, "network", "%s, this is %s", tx.Network, network)
	}
	return nil
}

// checkInputs: every input is of a kind we know and names an outpoint.
func checkInputs(tx *Tx) error {
	for i, in := range tx.Inputs {
		switch in.Kind {
		case notaryv1.InputKind_INPUT_KIND_SPEND, notaryv1.InputKind_INPUT_KIND_READ:
		default:
			return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, element("inputs", i)+".kind", "%d", in.Kind)
		}
		if in.Outpoint.Tx.IsZero() {
			return missing(element("inputs", i) + ".outpoint.transaction")
		}
	}
	return nil
}

// checkHasSpend: an outpoint is consumed, which makes the transaction unique.
func checkHasSpend(tx *Tx) error {
	for _, in := range tx.Inputs {
		if in.Kind == notaryv1.InputKind_INPUT_KIND_SPEND {
			return nil
		}
	}
	return refusal.New(notaryv1.Reason_REASON_NO_SPEND, "inputs", "nothing is spent")
}

// checkHasOutput: something comes of it.
func checkHasOutput(tx *Tx) error {
	if len(tx.Outputs) == 0 {
		return refusal.New(notaryv1.Reason_REASON_NO_OUTPUT, "outputs", "no output")
	}
	return nil
}

// checkWindowOrder: the window has an instant.
func checkWindowOrder(tx *Tx) error {
	if tx.ValidUntilMS != 0 && tx.ValidUntilMS < tx.ValidFromMS {
		return refusal.New(notaryv1.Reason_REASON_INVALID_WINDOW, "valid_until_ms", "%d, before %d", tx.ValidUntilMS, tx.ValidFromMS)
	}
	return nil
}

// checkFacilitators: a set has one order.
func checkFacilitators(tx *Tx) error {
	for i := 1; i < len(tx.Facilitators); i++ {
		if tx.Facilitators[i-1].Compare(tx.Facilitators[i]) >= 0 {
			return refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, element("facilitators", i), "not strictly ascending")
		}
	}
	return nil
}

// checkSums: the outputs of one product add up within 64 bits.
func checkSums(tx *Tx) error {
	var out sums
	for i := range tx.Outputs {
		o := &tx.Outputs[i]
		if !out.add(o.Product, o.Amount) {
			return refusal.New(notaryv1.Reason_REASON_AMOUNT_OVERFLOW, element("outputs", i)+".amount", "the outputs of a product sum above 64 bits")
		}
	}
	return nil
}

// checkDistinct: no outpoint appears twice, whatever for.
func checkDistinct(tx *Tx) error {
	if len(tx.Inputs) == 1 {
		return nil
	}
	seen := make(map[Outpoint]struct{}, len(tx.Inputs))
	for i, in := range tx.Inputs {
		if _, twice := seen[in.Outpoint]; twice {
			return refusal.New(notaryv1.Reason_REASON_DUPLICATE_OUTPOINT, element("inputs", i)+".outpoint", "%s", in.Outpoint)
		}
		seen[in.Outpoint] = struct{}{}
	}
	return nil
}

// checkOutputs: every output by itself.
func checkOutputs(tx *Tx) error {
	for i := range tx.Outputs {
		if err := CheckOutput(&tx.Outputs[i]); err != nil {
			return refusal.Under(element("outputs", i), err)
		}
	}
	return nil
}

// outputRules are the rules of one output by itself.
var outputRules = [...]func(*Output) error{
	checkOutputKind,
	checkOutputAddress,
	checkOutputAmount,
	checkFeeOutput,
	checkNetworkOutput,
	checkDataPresence,
	checkData,
}

// CheckOutput applies the rules of one output by itself, as a transaction may create it.
// What depends on the rest of its transaction is not asked.
func CheckOutput(o *Output) error {
	for _, check := range outputRules {
		if err := check(o); err != nil {
			return err
		}
	}
	return nil
}

// checkOutputKind: a kind we know, and not one that nobody can make yet.
func checkOutputKind(o *Output) error {
	switch o.Kind {
	case notaryv1.OutputKind_OUTPUT_KIND_PAYMENT, notaryv1.OutputKind_OUTPUT_KIND_FEE, notaryv1.OutputKind_OUTPUT_KIND_DATA,
		notaryv1.OutputKind_OUTPUT_KIND_PEER, notaryv1.OutputKind_OUTPUT_KIND_LINK:
		return nil
	case notaryv1.OutputKind_OUTPUT_KIND_REWARD:
		return refusal.New(notaryv1.Reason_REASON_RESERVED_OUTPUT, "kind", "%s cannot be made by a transaction", o.Kind)
	}
	return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "kind", "%d", o.Kind)
}

// ofNetwork are the kinds that carry what the network knows of itself, under rules of their own.
func ofNetwork(k notaryv1.OutputKind) bool {
	return k == notaryv1.OutputKind_OUTPUT_KIND_PEER || k == notaryv1.OutputKind_OUTPUT_KIND_LINK
}

// checkOutputAddress: somebody can spend it. A fee without address goes to the common pool; a link has
// none, since any member may propose the next.
func checkOutputAddress(o *Output) error {
	switch o.Kind {
	case notaryv1.OutputKind_OUTPUT_KIND_FEE:
		return nil
	case notaryv1.OutputKind_OUTPUT_KIND_LINK:
		if !o.Address.IsZero() {
			return invalidOutput("address", "a link has none")
		}
		return nil
	}
	if o.Address.IsZero() {
		return missing("address")
	}
	return nil
}

// checkOutputAmount: only data may be worth nothing; what the network knows of itself is.
func checkOutputAmount(o *Output) error {
	switch {
	case ofNetwork(o.Kind) && o.Amount != 0:
		return invalidOutput("amount", "%s is worth nothing", o.Kind)
	case o.Amount == 0 && o.Kind != notaryv1.OutputKind_OUTPUT_KIND_DATA && !ofNetwork(o.Kind):
		return refusal.New(notaryv1.Reason_REASON_ZERO_AMOUNT, "amount", "zero")
	}
	return nil
}

// checkFeeOutput: a fee is native coins with no strings attached.
func checkFeeOutput(o *Output) error {
	switch {
	case o.Kind != notaryv1.OutputKind_OUTPUT_KIND_FEE:
		return nil
	case !o.Product.IsZero():
		return invalidOutput("product", "a fee is paid in the native coin")
	case o.NotBeforeMS != 0:
		return invalidOutput("not_before_ms", "a fee has no time lock")
	case o.MinAgeMS != 0:
		return invalidOutput("min_age_ms", "a fee has no time lock")
	case !o.Counterparty.IsZero():
		return invalidOutput("counterparty", "a fee has no counterparty")
	}
	return nil
}

// checkNetworkOutput: metadata and links are of no product and have no strings attached but the age
// that a link must reach.
func checkNetworkOutput(o *Output) error {
	switch {
	case !ofNetwork(o.Kind):
		return nil
	case !o.Product.IsZero():
		return invalidOutput("product", "%s has none", o.Kind)
	case o.NotBeforeMS != 0:
		return invalidOutput("not_before_ms", "%s has none", o.Kind)
	case o.MinAgeMS != 0 && o.Kind != notaryv1.OutputKind_OUTPUT_KIND_LINK:
		return invalidOutput("min_age_ms", "%s has none", o.Kind)
	case !o.Counterparty.IsZero():
		return invalidOutput("counterparty", "%s has none", o.Kind)
	}
	return nil
}

// checkDataPresence: DATA, PEER and LINK have data, FEE has none, PAYMENT may have some.
func checkDataPresence(o *Output) error {
	switch {
	case (o.Kind == notaryv1.OutputKind_OUTPUT_KIND_DATA || ofNetwork(o.Kind)) && o.Data == nil:
		return missing("data")
	case o.Kind == notaryv1.OutputKind_OUTPUT_KIND_FEE && o.Data != nil:
		return invalidOutput("data", "a fee has no data")
	}
	return nil
}

// checkData: each kind of data has its own fields and no others.
func checkData(o *Output) error {
	d := o.Data
	if d == nil {
		return nil
	}
	if want := carries(o.Kind); want != 0 && d.Kind != want {
		return invalidOutput("data.kind", "%s carries %s", o.Kind, want)
	}
	switch d.Kind {
	case notaryv1.DataKind_DATA_KIND_INLINE, notaryv1.DataKind_DATA_KIND_RECORD,
		notaryv1.DataKind_DATA_KIND_ATTESTATION, notaryv1.DataKind_DATA_KIND_PRODUCT_INFO:
		if err := checkPayload(d); err != nil {
			return err
		}
	case notaryv1.DataKind_DATA_KIND_REFERENCE:
		if err := checkReference(d); err != nil {
			return err
		}
	case notaryv1.DataKind_DATA_KIND_PEER_METADATA, notaryv1.DataKind_DATA_KIND_GROUP:
		if !ofNetwork(o.Kind) {
			return refusal.New(notaryv1.Reason_REASON_RESERVED_OUTPUT, "data.kind", "%s belongs to outputs of the network", d.Kind)
		}
		if err := checkBare(d); err != nil {
			return err
		}
	default:
		return refusal.New(notaryv1.Reason_REASON_UNKNOWN_KIND, "data.kind", "%d", d.Kind)
	}
	return checkMediaType(d)
}

// carries is the kind of data that a kind of output must have; 0 leaves the choice.
func carries(k notaryv1.OutputKind) notaryv1.DataKind {
	switch k {
	case notaryv1.OutputKind_OUTPUT_KIND_PEER:
		return notaryv1.DataKind_DATA_KIND_PEER_METADATA
	case notaryv1.OutputKind_OUTPUT_KIND_LINK:
		return notaryv1.DataKind_DATA_KIND_GROUP
	}
	return 0
}

// checkBare: a payload and nothing beside it, so that one payload is one output.
func checkBare(d *Data) error {
	switch {
	case d.MediaType != "":
		return invalidOutput("data.media_type", "%s has none", d.Kind)
	case d.Location != "":
		return invalidOutput("data.location", "%s has none", d.Kind)
	}
	return checkPayload(d)
}

func checkPayload(d *Data) error {
	switch {
	case len(d.Payload) == 0:
		return missing("data.payload")
	case !d.Hash.IsZero():
		return invalidOutput("data.hash", "only a reference has a hash")
	case d.Size != 0:
		return invalidOutput("data.size", "only a reference has a size")
	}
	return nil
}

// checkReference: a hash and no payload. A size of zero is that of an empty file.
func checkReference(d *Data) error {
	switch {
	case d.Hash.IsZero():
		return missing("data.hash")
	case len(d.Payload) != 0:
		return invalidOutput("data.payload", "a reference has no payload")
	}
	return nil
}

func checkMediaType(d *Data) error {
	for i := range len(d.MediaType) {
		if c := d.MediaType[i]; c < 0x20 || c > 0x7e {
			return invalidOutput("data.media_type", "not printable ASCII")
		}
	}
	return nil
}

// checkProductInfo: who describes a product is who issues it.
func checkProductInfo(tx *Tx) error {
	for i := range tx.Outputs {
		o := &tx.Outputs[i]
		if o.Data == nil || o.Data.Kind != notaryv1.DataKind_DATA_KIND_PRODUCT_INFO {
			continue
		}
		if o.Product != tx.Issues() {
			return refusal.Under(element("outputs", i), invalidOutput("data", "describes a product that is not issued here"))
		}
		if _, err := DecodeProductInfo(o.Data.Payload); err != nil {
			return refusal.Under(element("outputs", i), invalidOutput("data.payload", "no product info: %v", err))
		}
	}
	return nil
}

func invalidOutput(field, format string, args ...any) error {
	return refusal.New(notaryv1.Reason_REASON_INVALID_OUTPUT, field, format, args...)
}

// checkWitnesses: each can open its own lock, and no two open the same.
func checkWitnesses(tx *Tx) error {
	var seen map[Address]struct{}
	if len(tx.Witnesses) > 1 {
		seen = make(map[Address]struct{}, len(tx.Witnesses))
	}
	for i := range tx.Witnesses {
		w := &tx.Witnesses[i]
		if err := checkWitness(w); err != nil {
			return refusal.Under(element("witnesses", i), err)
		}
		if seen == nil {
			continue
		}
		if _, twice := seen[w.address]; twice {
			return refusal.New(notaryv1.Reason_REASON_DUPLICATE_WITNESS, element("witnesses", i), "its address has one already")
		}
		seen[w.address] = struct{}{}
	}
	return nil
}
