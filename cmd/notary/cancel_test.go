package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/client/clienttest"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// down fails a submission, as often as it is tried: GetNetwork and ListUnspent pass.
func down() clienttest.Faults {
	return clienttest.Faults{Failures: []error{nil, nil, clienttest.Down(), clienttest.Down(), clienttest.Down()}}
}

// underWay are the ids that tx pending lists.
func (w *world) underWay() (ids []string) {
	w.t.Helper()
	for line := range strings.Lines(w.want(exitOK, "tx", "pending")) {
		if line != "nothing under way\n" {
			ids = append(ids, strings.Fields(line)[0])
		}
	}
	return ids
}

// later sets all clocks.
func (w *world) later(by time.Duration) {
	w.around.now = func() time.Time { return noon.Add(by) }
	w.net.SetNow(func() uint64 { return uint64(noon.Add(by).UnixMilli()) })
}

// A node that calls a payment dead which it has passed on is not believed, whatever reason it gives: neither does
// anything sound as if nothing were paid, nor is the payment forgotten.
func TestNodeLiesThatAPaymentIsDead(t *testing.T) {
	for _, reason := range []notaryv1.Reason{
		notaryv1.Reason_REASON_DOUBLE_SPEND, notaryv1.Reason_REASON_OUTPOINT_SPENT, notaryv1.Reason_REASON_WINDOW_CLOSED, notaryv1.Reason_REASON_BAD_SIGNATURE,
	} {
		w := newWorld(t).withWallet()
		lie := clienttest.Refusal(reason, "believe me")
		w.net.Set(clienttest.Faults{Failures: []error{nil, nil, nil, lie}}) // it is submitted, and then watched
		name := strings.TrimPrefix(reason.String(), "REASON_")
		stderr := w.refused(exitOpen, name, "send", w.bob(), "50")
		if strings.Contains(stderr, "nothing was paid") || !strings.Contains(stderr, "may still become final") {
			t.Errorf("said %s", stderr)
		}
		id := w.underWay()[0]
		for _, said := range []string{"notary tx resubmit " + id + " --node", "notary tx cancel " + id} {
			if !strings.Contains(stderr, said) {
				t.Errorf("%q is not said in %s", said, stderr)
			}
		}
		w.net.Set(clienttest.Faults{Failures: []error{nil, lie}})
		w.refused(exitOpen, name, "tx", "watch", id)
		w.net.Set(clienttest.Faults{})
		w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "50")
		w.want(exitOK, "tx", "resubmit", id)
		if out := w.want(exitOK, "balance", w.bob()); out != "50 coins\n" {
			t.Errorf("bob has %s", out)
		}
		if ids := w.underWay(); len(ids) != 0 {
			t.Errorf("left: %v", ids)
		}
	}
}

// A status is a node's word, too, when the next payment looks what became of the last ones.
func TestNextPaymentKeepsWhatIsUnproven(t *testing.T) {
	w := newWorld(t).withWallet()
	w.net.Set(clienttest.Faults{Reject: notaryv1.Reason_REASON_DOUBLE_SPEND})
	w.refused(exitOpen, "DOUBLE_SPEND", "send", w.bob(), "50")
	w.net.Set(clienttest.Faults{})
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "50")
	w.net.Set(clienttest.Faults{Silent: 2})
	w.refused(exitWeight, "NOT_ENOUGH_WEIGHT", "send", w.bob(), "1")
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "5")
	if ids := w.underWay(); len(ids) != 2 {
		t.Errorf("under way: %v", ids)
	}
}

// What a final rival has outlived is over: the node shows the rival, and the wallet forgets the payment.
func TestRefusalIsProven(t *testing.T) {
	for _, finds := range [][]string{{"tx", "resubmit"}, {"send"}} {
		w := newWorld(t).withWallet()
		home := w.env["NOTARY_HOME"]
		w.net.Set(down())
		w.refused(exitUnreachable, "UNREACHABLE", "send", w.bob(), "1")
		lost := w.underWay()[0]
		w.env["NOTARY_HOME"] = home + "-copy"
		w.want(exitOK, "wallet", "restore", "--words-file", "words.txt")
		rival := idOf(t, w.want(exitOK, "send", w.bob(), "2", "--json"))
		w.env["NOTARY_HOME"] = home
		if finds[0] == "send" {
			w.net.Set(clienttest.Faults{})
			w.refused(exitRefused, "OUTPOINT_SPENT", "tx", "resubmit", lost)
		} else {
			stderr := w.refused(exitRefused, "OUTPOINT_SPENT", "tx", "resubmit", lost)
			if !strings.Contains(stderr, "nothing was paid") || !strings.Contains(stderr, "notary tx get "+rival) {
				t.Errorf("said %s", stderr)
			}
		}
		w.refused(exitFailed, "NOT_FOUND", "tx", "resubmit", lost)
		if ids := w.underWay(); len(ids) != 0 {
			t.Errorf("under way: %v", ids)
		}
	}
}

// A payment that nobody ever heard of, as one node says, gives its coins back when another transaction has spent them,
// and no sooner.
func TestCancelTranscript(t *testing.T) {
	w := newWorld(t).withWallet()
	w.net.Set(down())
	w.refused(exitUnreachable, "UNREACHABLE", "send", w.bob(), "50")
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "50")
	w.later(11 * time.Minute)
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "50")
	abandoned := w.underWay()[0]
	w.refused(exitOpen, "WINDOW_CLOSED", "tx", "resubmit", abandoned)
	w.refused(exitUsage, "MAY_BECOME_FINAL", "tx", "forget", abandoned)
	w.net.Set(clienttest.Faults{Failures: []error{nil, nil, nil, clienttest.Down(), clienttest.Down(), clienttest.Down()}})
	w.refused(exitUnreachable, "UNREACHABLE", "tx", "cancel", abandoned)
	w.refused(exitOpen, "ALREADY_CANCELLING", "tx", "cancel", abandoned)
	w.want(exitOK, "tx", "resubmit", w.underWay()[1])
	w.want(exitOK, "tx", "pending")
	w.want(exitOK, "send", w.bob(), "50")
	w.net.Set(down())
	w.refused(exitUnreachable, "UNREACHABLE", "send", w.bob(), "1")
	w.want(exitOK, "tx", "cancel", w.underWay()[0], "--fee", "0.01", "-o", "cancel.notary", "--json")
	w.want(exitOK, "proof", "verify", "cancel.notary")
	w.refused(exitFailed, "NOT_FOUND", "tx", "cancel", abandoned)
	w.golden("cancel")
}

// A payment that is final cannot be cancelled, and is proven to be, also by a node that lists its coins as live.
func TestCancelTooLate(t *testing.T) {
	w := newWorld(t).withWallet()
	id := idOf(t, w.want(exitOK, "send", w.bob(), "50", "--wait", "none", "--json"))
	var coins []*notaryv1.UnspentOutput
	w.net.Set(clienttest.Faults{Unspent: func(r *notaryv1.ListUnspentResponse) { coins = slices.Concat(coins, r.Outputs) }})
	w.want(exitOK, "utxos")
	w.net.Set(clienttest.Faults{})
	w.want(exitOK, "tx", "watch", id)
	never := clienttest.Refusal(notaryv1.Reason_REASON_NOT_FOUND, "never heard of it")
	w.net.Set(clienttest.Faults{Failures: []error{nil, never}})
	w.refused(exitOpen, "OUTPOINT_SPENT", "tx", "cancel", id)
	w.net.Set(clienttest.Faults{Failures: []error{nil, never}, Unspent: func(r *notaryv1.ListUnspentResponse) {
		r.Outputs, r.NextPageToken = coins, ""
	}})
	w.refused(exitFailed, "ALREADY_FINAL", "tx", "cancel", id)
	if ids := w.underWay(); len(ids) != 0 {
		t.Errorf("under way: %v", ids)
	}
	w.net.Set(clienttest.Faults{})
	id = idOf(t, w.want(exitOK, "send", w.bob(), "1", "--wait", "none", "--json"))
	w.want(exitOK, "tx", "watch", id)
	w.refused(exitFailed, "ALREADY_FINAL", "tx", "cancel", id)
	if ids := w.underWay(); len(ids) != 0 {
		t.Errorf("under way: %v", ids)
	}
}

func TestForget(t *testing.T) {
	w := newWorld(t).withWallet()
	w.net.Set(down())
	w.refused(exitUnreachable, "UNREACHABLE", "send", w.bob(), "50")
	id := w.underWay()[0]
	if out := w.want(exitOK, "tx", "forget", id, "--force"); !strings.Contains(out, id+", which may still become final") {
		t.Errorf("said %s", out)
	}
	w.want(exitOK, "send", w.bob(), "50")
	w.refused(exitFailed, "NOT_FOUND", "tx", "forget", id, "--force")
}
