package api

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// hexIDs lets the id of a path be written as 64 hexadecimal digits, which is how people and
// the rest of the software write it. The gateway's own mapping of bytes is base64, with its padding; ids
// in that form pass unchanged, and the padding may be left out. The forms cannot be mistaken for each
// other: 64 characters of base64 are 48 bytes, no id. What is in none of them is refused here.
func hexIDs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, err := base64Path(r.URL.Path)
		if err != nil {
			writeError(w, r, err)
			return
		}
		if path != r.URL.Path {
			u := *r.URL
			u.Path, u.RawPath = path, ""
			r = r.Clone(r.Context())
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

// textOnly refuses paths and queries that are not UTF-8: the gateway would hand them to a protobuf string,
// which cannot hold them.
func textOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		field := ""
		if !utf8.ValidString(r.URL.Path) {
			field = "path"
		}
		for name, values := range r.URL.Query() {
			if !utf8.ValidString(name) || !utf8.ValidString(strings.Join(values, "")) {
				field = "query"
			}
		}
		if field != "" {
			writeError(w, r, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, field, "not UTF-8"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// idPaths are the beginnings of paths that go on with an id, and the fields that it is read into.
var idPaths = []struct{ prefix, field string }{
	{"/v1/transactions/", fieldID}, {"/v1/contests/", fieldID}, {"/v1/peers/", fieldPeer}, {"/v1/observations/", fieldKey},
}

// base64Path writes the id of such a path, with whatever follows it, in padded URL-safe base64, and
// leaves other paths as they are.
func base64Path(path string) (string, error) {
	for _, p := range idPaths {
		rest, ok := strings.CutPrefix(path, p.prefix)
		if !ok || rest == "" {
			continue
		}
		end := strings.IndexAny(rest, "/:")
		if end < 0 {
			end = len(rest)
		}
		id, err := readID(rest[:end])
		if err != nil {
			return "", refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, p.field,
				"a %s is 64 hexadecimal digits, or 32 bytes in URL-safe base64", names[p.field])
		}
		return p.prefix + base64.URLEncoding.EncodeToString(id) + rest[end:], nil
	}
	return path, nil
}

// readID reads an id in one of its forms.
func readID(s string) (id []byte, err error) {
	switch len(s) {
	case hex.EncodedLen(domain.Size):
		id, err = hex.DecodeString(s)
	case base64.URLEncoding.EncodedLen(domain.Size):
		id, err = base64.URLEncoding.DecodeString(s)
	case base64.RawURLEncoding.EncodedLen(domain.Size):
		id, err = base64.RawURLEncoding.DecodeString(s)
	}
	if err == nil && len(id) != domain.Size { // 44 characters without padding are 33 bytes
		err = domain.ErrHashLength
	}
	return id, err
}
