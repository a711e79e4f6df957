package api

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/mem"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// FuzzBase64Path: what is rewritten decodes to 32 bytes, keeps what follows the id, and is not
// rewritten twice.
func FuzzBase64Path(f *testing.F) {
	id := hash(0xab)
	f.Add("/v1/transactions/" + id.String())
	f.Add("/v1/transactions/" + id.String() + ":watch")
	f.Add("/v1/transactions/" + base64.RawURLEncoding.EncodeToString(id[:]) + "/proof")
	f.Add("/v1/network")
	f.Add("/v1/contests/" + id.String())
	f.Add("/v1/observations/" + id.String() + "/12")
	f.Fuzz(func(t *testing.T, path string) {
		got, err := base64Path(path)
		at := slices.IndexFunc(idPaths, func(p struct{ prefix, field string }) bool {
			return strings.HasPrefix(path, p.prefix) && path != p.prefix
		})
		if err != nil || at < 0 {
			if err == nil && got != path {
				t.Fatalf("%q becomes %q", path, got)
			}
			return
		}
		rest := strings.TrimPrefix(got, idPaths[at].prefix)
		id, err := base64.URLEncoding.DecodeString(rest[:44])
		if err != nil || len(id) != 32 || !strings.HasSuffix(path, rest[44:]) {
			t.Fatalf("%q becomes %q", path, got)
		}
		if again, err := base64Path(got); err != nil || again != got {
			t.Fatalf("%q becomes %q and then %q, %v", path, got, again, err)
		}
	})
}

// FuzzEnvelope: receiving never fails and never panics; it refuses with a reason or has the message.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{10, 2, 't', 'x', 16, 4})
	f.Add([]byte{0xff, 0xff})
	codec := newEnvelopes()
	f.Fuzz(func(t *testing.T, b []byte) {
		const limit = 64
		e := &envelope{message: &notaryv1.SubmitTransactionRequest{}, limit: limit}
		if err := codec.Unmarshal(mem.BufferSlice{mem.SliceBuffer(b)}, e); err != nil {
			t.Fatal(err)
		}
		size, err := e.size, e.refused
		want := notaryv1.Reason_REASON_MALFORMED
		if len(b) > limit {
			want = notaryv1.Reason_REASON_TOO_LARGE
		}
		if err != nil && refusal.ReasonOf(err) != want || err == nil && len(b) > limit || size != len(b) {
			t.Fatalf("%d bytes: size %d, %v", len(b), size, err)
		}
	})
}

// FuzzREST: whatever is asked, the gateway answers with JSON and no fault of its own.
func FuzzREST(f *testing.F) {
	n := serveForFuzz(f)
	for _, path := range []string{"/v1/network", "/v1/transactions/x", "/v1/addresses/a/unspent?pageSize=3&pageToken=%00", "/v1/addresses/a:watch", "/v1/acceptances:watch?withProofs=maybe",
		"/v1/contests/x", "/v1/observations/x/y", "/v1/search?query=%00", "/v1/peers?pageSize=-1", "/v1/stats"} {
		f.Add("GET", path, "")
	}
	f.Add("POST", "/v1/transactions", `{"transaction":"AAAA","waitFor":4}`)
	f.Fuzz(func(t *testing.T, method, path, body string) {
		req, err := http.NewRequest(method, "http://node"+path, strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		req.RemoteAddr = "192.0.2.1:1"
		w := httptest.NewRecorder()
		n.ServeHTTP(w, req)
		if w.Code == http.StatusInternalServerError {
			t.Fatalf("%s %q %q: %d %s", method, path, body, w.Code, w.Body)
		}
	})
}
