package observation

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/proto/canonical"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// indentJSON is the proto3 JSON mapping of a message, in a form that does not vary.
func indentJSON(m proto.Message) ([]byte, error) {
	b, err := protojson.Marshal(m)
	if err != nil {
		return nil, err
	}
	// protojson varies its spaces on purpose; files had better not.
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// canonicalOf reads the JSON form of a message, of at most most bytes, into m, and gives its canonical bytes. Unknown
// fields are refused.
func canonicalOf(b []byte, most int, m proto.Message) ([]byte, error) {
	if len(b) > most {
		return nil, tooLarge(b, most)
	}
	if err := protojson.Unmarshal(b, m); err != nil {
		return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "%v", err)
	}
	raw, err := canonical.Marshal(m)
	if err != nil {
		return nil, refusal.New(notaryv1.Reason_REASON_MALFORMED, "", "%v", err)
	}
	return raw, nil
}
