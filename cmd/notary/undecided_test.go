package main

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// Whatever fails once the node has a transaction leaves open what becomes of it: nothing then sounds as if a
// second payment were in order.
func TestFailureAfterSubmission(t *testing.T) {
	for reason, failure := range map[string]error{
		"INTERNAL":  status.Error(codes.Internal, "stream terminated by RST_STREAM"),
		"NOT_FOUND": clienttest.Refusal(notaryv1.Reason_REASON_NOT_FOUND, "never heard of it"), // a node that lost it when it started again
		"UNKNOWN":   status.Error(codes.Unknown, "a proxy"),
	} {
		w := newWorld(t).withWallet()
		// GetNetwork, ListUnspent and SubmitTransaction pass; WatchTransaction does not.
		w.net.Set(clienttest.Faults{Failures: []error{nil, nil, nil, failure}})
		stderr := w.refused(exitOpen, reason, "send", w.bob(), "1")
		_, rest, found := strings.Cut(stderr, "notary tx resubmit ")
		if !found || !strings.Contains(stderr, "may still become final") {
			t.Fatalf("said %s", stderr)
		}
		w.want(exitOK, "tx", "resubmit", rest[:64])
		if out := w.want(exitOK, "balance", w.bob()); out != "1 coin\n" {
			t.Errorf("bob has %s", out)
		}
	}
}

// Who offers too little is told how to offer more, which submitting the same again is not.
func TestFeeTooLow(t *testing.T) {
	w := newWorld(t).withWallet()
	// GetNetwork and ListUnspent pass; SubmitTransaction does not.
	w.net.Set(clienttest.Faults{Failures: []error{nil, nil, clienttest.Refusal(notaryv1.Reason_REASON_FEE_TOO_LOW, "at least 0.01")}})
	stderr := w.refused(exitOpen, "FEE_TOO_LOW", "send", w.bob(), "1")
	_, rest, found := strings.Cut(stderr, "notary tx cancel ")
	if !found || !strings.Contains(stderr, "--fee") || !strings.Contains(stderr, "at least 0.01") {
		t.Fatalf("said %s", stderr)
	}
	w.want(exitOK, "tx", "cancel", rest[:64], "--fee", "0.01")
	w.want(exitOK, "send", w.bob(), "1", "--fee", "0.01")
	if out := w.want(exitOK, "balance", w.bob()); out != "1 coin\n" {
		t.Errorf("bob has %s", out)
	}
}

// What a node says of a proof that it should give is nothing about the transaction, which is final.
func TestFailureOfTheProof(t *testing.T) {
	w := newWorld(t).withWallet()
	id := idOf(t, w.want(exitOK, "send", w.bob(), "1", "--wait", "none", "--json"))
	w.want(exitOK, "tx", "watch", id)
	// GetNetwork and SubmitTransaction pass, which tells that it is final; GetAcceptanceProof does not.
	w.net.Set(clienttest.Faults{Failures: []error{nil, nil, clienttest.Refusal(notaryv1.Reason_REASON_BAD_SIGNATURE, "of this transaction")}})
	stderr := w.refused(exitFailed, "BAD_SIGNATURE", "tx", "resubmit", id)
	if strings.Contains(stderr, "nothing was paid") || !strings.Contains(stderr, "calls transaction "+id+" final") {
		t.Errorf("said %s", stderr)
	}
	w.want(exitOK, "tx", "resubmit", id) // it was not forgotten
}

// A node that calls a transaction final has to show it to whoever follows it, too.
func TestWatchAsksForTheProof(t *testing.T) {
	w := newWorld(t).withWallet()
	id := idOf(t, w.want(exitOK, "send", w.bob(), "1", "--wait", "none", "--json"))
	w.net.Set(clienttest.Faults{Silent: 2})
	w.refused(exitWeight, "NOT_ENOUGH_WEIGHT", "tx", "watch", id)
}

// The time to type a passphrase is the person's, not the network's, which takes none by the fake clock.
func TestSlowTyping(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t).withWallet()
		pass := w.env["NOTARY_PASSPHRASE"]
		delete(w.env, "NOTARY_PASSPHRASE")
		w.around.secret = func(string) (string, error) { time.Sleep(time.Minute); return pass, nil }
		w.want(exitOK, "send", w.bob(), "1", "--timeout", "1s")
	})
}

// The window gates first votes alone. A node that never heard of those that others cast in time finds it closed:
// the transaction may be final all the same.
func TestResubmittedToANodeThatNeverHeardOfIt(t *testing.T) {
	w := newWorld(t).withWallet()
	id := idOf(t, w.want(exitOK, "send", w.bob(), "1", "--wait", "none", "--json"))
	w.want(exitOK, "tx", "watch", id)
	w.net.Set(clienttest.Faults{Failures: []error{nil, clienttest.Refusal(notaryv1.Reason_REASON_WINDOW_CLOSED, "now 1")}})
	stderr := w.refused(exitOpen, "WINDOW_CLOSED", "tx", "resubmit", id)
	if !strings.Contains(stderr, "--node") {
		t.Errorf("said %s", stderr)
	}
	w.want(exitOK, "tx", "resubmit", id)
	if out := w.want(exitOK, "balance", w.bob()); out != "1 coin\n" {
		t.Errorf("bob has %s", out)
	}
}
