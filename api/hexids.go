package api

import (
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
)

// hexIDs lets the transaction id of a path be written as 64 hexadecimal digits, which is how people and
// the rest of the software write it. The gateway's own mapping of bytes is base64; ids in that form pass
// unchanged. The two cannot be mistaken for each other: 64 characters of base64 are 48 bytes, no id.
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

// base64Path writes the id of /v1/transactions/{id}, with whatever follows it, in URL-safe base64.
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
	if end != 64 {
		return "", false
	}
	id, err := hex.DecodeString(rest[:end])
	if err != nil {
		return "", false
	}
	return prefix + base64.URLEncoding.EncodeToString(id) + rest[end:], true
}
