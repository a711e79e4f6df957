package api

import (
	"net/http"
	"slices"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// cors answers browsers that ask whether pages of other origins may call, and refuses what such pages send all the same: a POST of
// plain text needs no leave, and what it asks for would be done, though the page could not read the answer. Requests of other
// programs say nothing of origins and pass.
func cors(origins []string, next http.Handler) (http.Handler, error) {
	if slices.Contains(origins, "*") {
		return allowing(func(string) bool { return true }, next), nil
	}
	foreign := http.NewCrossOriginProtection()
	for _, o := range origins {
		if err := foreign.AddTrustedOrigin(o); err != nil {
			return nil, err
		}
	}
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, r, refusal.New(notaryv1.Reason_REASON_UNAUTHENTICATED, "", "pages of this origin may not call this node"))
	}))
	next = foreign.Handler(next)
	if len(origins) == 0 { // browsers keep answers from other pages
		return next, nil
	}
	return allowing(func(origin string) bool { return slices.Contains(origins, origin) }, next), nil
}

// allowing tells browsers which origins' pages may call and read the answers.
func allowing(allowed func(origin string) bool, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin := r.Header.Get("Origin")
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin == "" || !allowed(origin) {
			next.ServeHTTP(w, r)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After, Notary-Not-Built")
		if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
			h.Set("Access-Control-Allow-Methods", "GET, POST")
			h.Set("Access-Control-Allow-Headers", "Content-Type, Grpc-Timeout")
			h.Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}
