package observation

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/notarynet/notaryd/proto/canonical"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

const (
	// MaxRun is how many observations a run has at most, MaxRunBytes how many bytes its encoding has.
	MaxRun      = 64
	MaxRunBytes = 1 << 20
)

var runSchema = canonical.MustCompile(&notaryv1.ObservationRun{}, MaxRunBytes)

// EncodeRuns makes canonical ObservationRuns of consecutive observations of one chain, as few as they fit in. Each
// observation must fit in one.
func EncodeRuns(list []*Observation) (runs [][]byte) {
	var run []byte
	items := 0
	for _, o := range list {
		size := protowire.SizeTag(1) + protowire.SizeBytes(len(o.Raw))
		if items == MaxRun || items > 0 && len(run)+size > MaxRunBytes {
			runs, run, items = append(runs, run), nil, 0
		}
		run = appendElement(run, 1, o.Raw)
		items++
	}
	if items > 0 {
		runs = append(runs, run)
	}
	return runs
}

// DecodeRun reads a canonical ObservationRun as Decode reads each of its observations, which keep raw: all but the
// signatures is checked, and that each names the one before it.
func DecodeRun(raw []byte, r Rules) ([]*Observation, error) {
	if err := runSchema.Check(raw); err != nil {
		return nil, err
	}
	var list []*Observation
	for f := range canonical.Fields(raw) {
		o, err := Decode(f.Bytes, r)
		if err != nil {
			return nil, refusal.Under("observations", err)
		}
		if n := len(list); n > 0 && !o.Header.follows(list[n-1]) {
			return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "observations", "height %d of %s does not follow the one before it", o.Header.Height, o.Header.Key)
		}
		list = append(list, o)
	}
	if len(list) == 0 {
		return nil, missing("observations")
	}
	return list, nil
}

// RunHeader reads the header of the first observation of a canonical ObservationRun, and no more: whose run it is, and so
// whether its leaves are worth hashing.
func RunHeader(raw []byte) (Header, error) {
	if err := runSchema.Check(raw); err != nil {
		return Header{}, err
	}
	for f := range canonical.Fields(raw) {
		if err := observationSchema.Check(f.Bytes); err != nil {
			return Header{}, refusal.Under("observations", err)
		}
		for g := range canonical.Fields(f.Bytes) {
			if g.Number == 1 {
				return DecodeHeader(g.Bytes)
			}
		}
		return Header{}, refusal.Under("observations", missing("header"))
	}
	return Header{}, missing("observations")
}

// follows reports whether a header names an observation as the one before it.
func (h *Header) follows(before *Observation) bool {
	return h.Chain() == before.Header.Chain() && h.Height == before.Header.Height+1 && h.Previous == before.Hash
}
