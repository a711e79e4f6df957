package utxo

import (
	"bytes"

	"github.com/notarynet/notaryd/proto/canonical"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// Limits of an output, in bytes.
const (
	MaxPayloadBytes = 196_608
	MaxOutputBytes  = 200_704
	// MaxDecimals bounds ProductInfo.decimals.
	MaxDecimals = 18
)

// Output is an amount of a product, or data, that whoever opens the address may spend.
type Output struct {
	Address Address
	Product Product
	// Amount in base units of the product.
	Amount uint64
	Kind   notaryv1.OutputKind
	// Data is nil where there is none.
	Data *Data
	// NotBeforeMS: not to be spent before this instant, Unix milliseconds.
	NotBeforeMS uint64
	// MinAgeMS: not to be spent before this many milliseconds have passed since it became final.
	MinAgeMS uint64
	// Counterparty must sign too when the output is spent; zero for nobody.
	Counterparty Address
}

// Data is the typed payload of an output.
type Data struct {
	Kind    notaryv1.DataKind
	Payload []byte
	// Hash and Size are of the referenced bytes (REFERENCE only).
	Hash domain.Hash
	Size uint64
	// MediaType is printable ASCII (RFC 6838), Location UTF-8.
	MediaType, Location string
}

// outputSchema bounds and orders the encoding of an output.
var outputSchema = canonical.MustCompile(&notaryv1.Output{}, MaxOutputBytes)

// productInfoSchema bounds and orders what an issuer calls a product.
var productInfoSchema = canonical.MustCompile(&notaryv1.ProductInfo{}, 128)

// AppendTo appends the canonical encoding of the output (notary.v1.Output).
func (o *Output) AppendTo(b []byte) []byte {
	b = appendHash(b, 1, o.Address)
	b = appendHash(b, 2, o.Product)
	b = appendUint(b, 3, o.Amount)
	b = appendUint(b, 4, uint64(int64(o.Kind)))
	if o.Data != nil {
		b = appendBytes(b, 5, o.Data.appendTo(nil))
	}
	b = appendUint(b, 6, o.NotBeforeMS)
	b = appendUint(b, 7, o.MinAgeMS)
	return appendHash(b, 8, o.Counterparty)
}

func (d *Data) appendTo(b []byte) []byte {
	b = appendUint(b, 1, uint64(int64(d.Kind)))
	b = appendText(b, 2, d.Payload)
	b = appendHash(b, 3, d.Hash)
	b = appendUint(b, 4, d.Size)
	b = appendText(b, 5, d.MediaType)
	return appendText(b, 6, d.Location)
}

// Equal reports whether two outputs are the same, data included.
func (o *Output) Equal(p *Output) bool {
	a, b := *o, *p
	a.Data, b.Data = nil, nil
	return a == b && o.Data.equal(p.Data)
}

func (d *Data) equal(e *Data) bool {
	if d == nil || e == nil {
		return d == e
	}
	return d.Kind == e.Kind && bytes.Equal(d.Payload, e.Payload) && d.Hash == e.Hash &&
		d.Size == e.Size && d.MediaType == e.MediaType && d.Location == e.Location
}

// DecodeOutput reads a canonical encoding of an output of any kind, reserved ones too. It judges the
// encoding alone, not the rules of Decode. The output shares memory with b.
func DecodeOutput(b []byte) (Output, error) {
	if err := outputSchema.Check(b); err != nil {
		return Output{}, err
	}
	return parseOutput(b)
}

// parseOutput reads what a schema has checked.
func parseOutput(b []byte) (o Output, err error) {
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			o.Address, err = parseHash("address", f.Bytes)
		case 2:
			o.Product, err = parseHash("product", f.Bytes)
		case 3:
			o.Amount = f.Value
		case 4:
			o.Kind = notaryv1.OutputKind(f.Value)
		case 5:
			o.Data, err = parseData(f.Bytes)
		case 6:
			o.NotBeforeMS = f.Value
		case 7:
			o.MinAgeMS = f.Value
		case 8:
			o.Counterparty, err = parseHash("counterparty", f.Bytes)
		}
		if err != nil {
			return Output{}, err
		}
	}
	return o, nil
}

// Own has the output hold data of its own. What is decoded lies in the bytes of its transaction, and keeps all of them.
func (o *Output) Own() {
	if o.Data == nil {
		return
	}
	data := *o.Data
	data.Payload = bytes.Clone(data.Payload)
	o.Data = &data
}

func parseData(b []byte) (*Data, error) {
	d := &Data{}
	for f := range canonical.Fields(b) {
		switch f.Number {
		case 1:
			d.Kind = notaryv1.DataKind(f.Value)
		case 2:
			d.Payload = f.Bytes
		case 3:
			var err error
			if d.Hash, err = parseHash("data.hash", f.Bytes); err != nil {
				return nil, err
			}
		case 4:
			d.Size = f.Value
		case 5:
			d.MediaType = string(f.Bytes)
		case 6:
			d.Location = string(f.Bytes)
		}
	}
	return d, nil
}

// parseHash reads 32 bytes. A hash of zeros means "none" and is left out, as proto3 leaves out a zero:
// otherwise one meaning would have two encodings.
func parseHash(field string, b []byte) (domain.Hash, error) {
	h := domain.Hash(b)
	if h.IsZero() {
		return h, refusal.New(notaryv1.Reason_REASON_NON_CANONICAL, field, "zeros stated")
	}
	return h, nil
}

// DecodeProductInfo reads the payload of a PRODUCT_INFO.
func DecodeProductInfo(b []byte) (*notaryv1.ProductInfo, error) {
	var p notaryv1.ProductInfo
	if err := productInfoSchema.Unmarshal(b, &p); err != nil {
		return nil, err
	}
	if p.Decimals > MaxDecimals {
		return nil, refusal.New(notaryv1.Reason_REASON_LIMIT_EXCEEDED, "decimals", "%d, at most %d", p.Decimals, MaxDecimals)
	}
	return &p, nil
}
