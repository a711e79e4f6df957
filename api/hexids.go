package api

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/notarynet/notaryd/proto/domain"
)

// hexIDs lets the transaction id of a path be written as 64 hexadecimal digits, which is how people and
// the rest of the software write it. The gateway's own mapping of bytes is base64, with its padding; ids
// in that form pass unchanged, and the padding may be left out. The forms cannot be mistaken for each
// other: 64 characters of base64 are 48 bytes, no id.
func hexIDs(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if path, ok := base64Path(r.URL.Path); ok {
			u := *r.URL
			u.Path, u.RawPath = path, ""
			r = r.Clone(r.Context())
			r.URL = &u
		}
		next.ServeHTTP(w, r)
	})
}

// base64Path writes the id of /v1/transactions/{id}, with whatever follows it, in padded URL-safe
// base64; false where the path has no id or one that passes as it is.
func base64Path(path string) (string, bool) {
	const prefix = "/v1/transactions/"
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return "", false
	}
	end := strings.IndexAny(rest, "/:")
	if end < 0 {
		end = len(rest)
	}
	var id []byte
	var err error
	switch end {
	case hex.EncodedLen(domain.Size):
		id, err = hex.DecodeString(rest[:end])
	case base64.RawURLEncoding.EncodedLen(domain.Size):
		id, err = base64.RawURLEncoding.DecodeString(rest[:end])
	default:
		return "", false
	}
	if err != nil {
		return "", false
	}
	return prefix + base64.URLEncoding.EncodeToString(id) + rest[end:], true
}
