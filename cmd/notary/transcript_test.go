package main

import (
	"strings"
	"testing"

	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

func (w *world) bob() string {
	return utxo.FormatAddress(w.net.Genesis.Doc.GetAddressPrefix(), address(w.t, bobWords))
}

// idOf is the transaction id in a JSON answer.
func idOf(t *testing.T, answer string) string {
	t.Helper()
	_, rest, found := strings.Cut(answer, `"transaction_id": "`)
	if !found || len(rest) < 64 {
		t.Fatalf("no transaction id in %s", answer)
	}
	return rest[:64]
}

func TestWalletTranscript(t *testing.T) {
	w := newWorld(t)
	w.want(exitOK, "wallet", "list")
	w.want(exitOK, "wallet", "restore", "--words-file", "words.txt")
	w.write("bob.txt", bobWords)
	w.want(exitOK, "wallet", "restore", "bob", "--account", "3", "--words-file", "bob.txt")
	w.want(exitOK, "wallet", "list")
	w.want(exitOK, "wallet", "use", "bob")
	w.want(exitOK, "wallet", "list", "--json")
	w.want(exitOK, "wallet", "export", "main")
	w.want(exitOK, "wallet", "export", "--json")
	w.want(exitOK, "address")
	w.want(exitOK, "address", "--wallet", "main", "--json")
	w.want(exitOK, "address", "--amount", "1.5", "--memo", "tea & cake")
	w.want(exitOK, "address", "--qr")
	w.golden("wallet")
}

func TestMoneyTranscript(t *testing.T) {
	w := newWorld(t)
	w.want(exitOK, "wallet", "restore", "--words-file", "words.txt")
	w.want(exitOK, "balance")
	w.want(exitOK, "utxos")
	w.want(exitOK, "faucet")
	w.want(exitOK, "faucet", w.bob(), "--amount", "0.000000001", "--json")
	w.want(exitOK, "send", w.bob(), "12.5", "--memo", "tea", "--fee", "0.01")
	answer := w.want(exitOK, "send", "notary:"+w.bob()+"?amount=1500000000&memo=cake", "--json")
	id := idOf(t, answer)
	w.want(exitOK, "balance", "--json")
	w.want(exitOK, "balance", w.bob())
	w.want(exitOK, "tx", "get", id)
	w.want(exitOK, "tx", "get", id, "--json")
	w.want(exitOK, "tx", "watch", id, "--json")
	w.want(exitOK, "proof", "get", id)
	w.want(exitOK, "proof", "get", id, "--format", "json", "-o", "proof.json")
	w.want(exitOK, "proof", "verify", id[:16]+".notary")
	w.want(exitOK, "proof", "verify", "proof.json", "--json")
	w.want(exitOK, "network", "list")
	w.want(exitOK, "network", "status")
	w.golden("money")
}

func TestProductTranscript(t *testing.T) {
	w := newWorld(t).withWallet()
	w.want(exitOK, "issue", "1000.50", "--name", "Tea", "--decimals", "2")
	w.want(exitOK, "balance")
	w.want(exitOK, "utxos", "--json")
	w.want(exitOK, "send", w.bob(), "0.25", "--product", "Tea")
	w.want(exitOK, "balance", w.bob(), "--json")
	w.want(exitOK, "issue", "7", "--name", "Cake", "--json")
	w.golden("product")
}

func TestStampTranscript(t *testing.T) {
	w := newWorld(t).withWallet()
	w.write("contract.txt", "I owe you five coins.\n")
	w.write("photo.png", "\x89PNG\r\n\x1a\n...")
	w.want(exitOK, "stamp", "contract.txt", "photo.png")
	w.want(exitOK, "verify", "contract.txt")
	w.want(exitOK, "verify", "photo.png.notary")
	w.want(exitOK, "verify", "contract.txt", "--json")
	w.write("contract.txt", "I owe you nine coins.\n")
	w.want(exitFailed, "verify", "contract.txt")
	w.want(exitFailed, "verify", "contract.txt", "--json")
	w.want(exitOK, "stamp", "contract.txt", "--force", "--no-name", "--json")
	w.want(exitOK, "verify", "contract.txt")
	w.golden("stamp")
}

// The levels of --wait, and how a payment that hangs is taken up again. By the fake clock, time is over when it hangs and not before.
func TestWaitTranscript(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t).withWallet()
		none := w.want(exitOK, "send", w.bob(), "1", "--wait", "none", "--json")
		w.want(exitOK, "tx", "pending")
		w.want(exitOK, "tx", "watch", idOf(t, none))
		w.want(exitOK, "send", w.bob(), "1", "--wait", "pending")
		w.want(exitOK, "tx", "pending", "--json")
		w.net.Set(clienttest.Faults{Stuck: true})
		w.refused(exitOpen, "WAIT_EXPIRED", "send", w.bob(), "40", "--timeout", "1s")
		list := w.want(exitOK, "tx", "pending")
		w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "40")
		w.net.Set(clienttest.Faults{})
		stuck := strings.Fields(strings.Split(list, "\n")[len(strings.Split(strings.TrimSpace(list), "\n"))-1])[0]
		w.want(exitOK, "tx", "resubmit", stuck)
		w.want(exitOK, "tx", "resubmit", idOf(t, w.want(exitOK, "send", w.bob(), "1", "--wait", "accepted", "--json")), "-o", "p.notary", "--json")
		w.golden("wait")
	})
}

func TestFailureTranscript(t *testing.T) {
	w := newWorld(t).withWallet()
	w.refused(exitUsage, "USAGE", "sned")
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "1000")
	w.refused(exitUsage, "INVALID_AMOUNT", "send", w.bob(), "1.0000000001")
	w.refused(exitUsage, "INVALID_ARGUMENT", "send", "ntest1qqqq", "1")
	w.refused(exitNetwork, "WRONG_NETWORK", "send", utxo.FormatAddress("other", utxo.Address{1}), "1")
	w.net.Set(clienttest.Faults{Reject: notaryv1.Reason_REASON_DOUBLE_SPEND})
	w.refused(exitOpen, "DOUBLE_SPEND", "send", w.bob(), "1")
	w.run("send", w.bob(), "1", "--json")
	w.net.Set(clienttest.Faults{})
	for _, id := range w.underWay() {
		w.want(exitOK, "tx", "cancel", id)
	}
	w.net.Set(clienttest.Faults{Silent: 2})
	w.refused(exitWeight, "NOT_ENOUGH_WEIGHT", "send", w.bob(), "2")
	w.env["NOTARY_PASSPHRASE"] = "wrong"
	w.refused(exitWallet, "WRONG_PASSPHRASE", "send", w.bob(), "1")
	w.golden("failures")
}
