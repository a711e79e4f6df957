package observation

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// drawHash draws 32 bytes.
func drawHash(t *rapid.T, label string) domain.Hash {
	return domain.Hash(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label))
}

// drawLeaf draws a well-formed leaf.
func drawLeaf(t *rapid.T) Leaf {
	l := Leaf{
		Subject: drawHash(t, "subject"),
		Type:    SubjectType(rapid.Uint8Range(uint8(SubjectTx), uint8(SubjectLink)).Draw(t, "type")),
		State:   Seen,
		TimeMS:  rapid.Uint64().Draw(t, "time"),
	}
	switch l.Type {
	case SubjectTx:
		l.State = rapid.SampledFrom([]State{Pending, Accepted, Abstain, Rejected, Seen, Inherited}).Draw(t, "state")
		if l.State != Seen {
			l.Round = rapid.Uint32().Draw(t, "round")
		}
	case SubjectLink:
		l.State = rapid.SampledFrom([]State{Closed, Inherited}).Draw(t, "state")
	}
	return l
}

func TestLeafRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawLeaf(t)
		b := want.Encode()
		got, err := DecodeLeaf(b[:])
		if err != nil || got != want {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

func TestLeafLayout(t *testing.T) {
	l := Leaf{Subject: domain.Hash{0: 1, 31: 2}, Type: SubjectTx, State: Accepted, Round: 0x01020304, TimeMS: 0x05060708090a0b0c}
	b := l.Encode()
	want := append([]byte{0: 1, 31: 2}, 1, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0)
	if !bytes.Equal(b[:], want) {
		t.Fatalf("got %x, want %x", b, want)
	}
}

func TestLeafRefused(t *testing.T) {
	vote := func(change func(b []byte)) []byte {
		l := Leaf{Type: SubjectTx, State: Pending, Round: 3, TimeMS: 9}.Encode()
		change(l[:])
		return l[:]
	}
	for _, c := range []struct {
		name   string
		leaf   []byte
		reason notaryv1.Reason
		field  string
	}{
		{"short", make([]byte, 46), notaryv1.Reason_REASON_MALFORMED, ""},
		{"long", make([]byte, 48), notaryv1.Reason_REASON_MALFORMED, ""},
		{"no type", vote(func(b []byte) { b[32] = 0 }), notaryv1.Reason_REASON_UNKNOWN_KIND, "type"},
		{"type 6", vote(func(b []byte) { b[32] = 6 }), notaryv1.Reason_REASON_UNKNOWN_KIND, "type"},
		{"no state", vote(func(b []byte) { b[33] = 0 }), notaryv1.Reason_REASON_UNKNOWN_KIND, "state"},
		{"state 8", vote(func(b []byte) { b[33] = 8 }), notaryv1.Reason_REASON_UNKNOWN_KIND, "state"},
		{"vote on a link", vote(func(b []byte) { b[32] = 5 }), notaryv1.Reason_REASON_INVALID_ARGUMENT, "state"},
		{"transaction closed", vote(func(b []byte) { b[33] = 6 }), notaryv1.Reason_REASON_INVALID_ARGUMENT, "state"},
		{"link closed in a round", vote(func(b []byte) { b[32], b[33] = 5, 6 }), notaryv1.Reason_REASON_INVALID_ARGUMENT, "round"},
		{"vote on a peer", vote(func(b []byte) { b[32] = 3 }), notaryv1.Reason_REASON_INVALID_ARGUMENT, "state"},
		{"seen in a round", vote(func(b []byte) { b[33] = 5 }), notaryv1.Reason_REASON_INVALID_ARGUMENT, "round"},
		{"reserved", vote(func(b []byte) { b[46] = 1 }), notaryv1.Reason_REASON_NON_CANONICAL, "reserved"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := DecodeLeaf(c.leaf)
			wantRefusal(t, err, c.reason, c.field)
		})
	}
}

// wantRefusal fails unless err is a refusal for this reason at this field.
func wantRefusal(t interface {
	Helper()
	Fatalf(string, ...any)
}, err error, reason notaryv1.Reason, field string) {
	t.Helper()
	e, ok := err.(*refusal.Error)
	if !ok {
		t.Fatalf("got %v, want a refusal for %s at %q", err, reason, field)
	}
	if e.Reason != reason || e.Field != field {
		t.Fatalf("got %v, want %s at %q", e, refusal.Name(reason), field)
	}
}

func TestStateNames(t *testing.T) {
	for s := State(0); s < 9; s++ {
		want := notaryv1.VoteState(s).String()
		if s == 8 {
			want = "VOTE_STATE_UNSPECIFIED"
		}
		if got := "VOTE_STATE_" + s.String(); got != want {
			t.Errorf("state %d is %s, want %s", s, got, want)
		}
	}
}

// fieldOf is the part that a refusal names.
func fieldOf(err error) string {
	e, ok := err.(*refusal.Error)
	if !ok {
		return "no refusal"
	}
	return e.Field
}
