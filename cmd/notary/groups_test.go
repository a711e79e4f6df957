package main

import (
	"strings"
	"testing"

	"github.com/notarynet/notaryd/proto/group"
)

// TestEpochsTranscript: files stamped in later epochs, the groups that come to be known, a checkpoint, and a
// history that breaks.
func TestEpochsTranscript(t *testing.T) {
	w := newWorld(t).withWallet()
	next := func(weight group.Weight) {
		t.Helper()
		if err := w.net.NextEpoch(weight); err != nil {
			t.Fatal(err)
		}
	}
	next(300_000_000)
	next(280_000_000)
	w.write("lease.txt", "Two rooms.\n")
	w.want(exitOK, "stamp", "lease.txt")
	w.want(exitOK, "network", "groups")
	w.want(exitOK, "verify", "lease.txt")
	w.want(exitOK, "verify", "lease.txt", "--genesis", "genesis.bin")
	w.want(exitOK, "verify", "lease.txt", "--genesis", "genesis.bin", "--json")
	next(260_000_000)
	answer := w.want(exitOK, "send", w.bob(), "1", "--json")
	w.want(exitOK, "proof", "get", idOf(t, answer), "--short", "-o", "short.notary")
	w.want(exitNoTrustRoot, "proof", "verify", "short.notary", "--genesis", "genesis.bin")
	w.want(exitOK, "proof", "verify", "short.notary")
	w.want(exitOK, "network", "groups", "--json")
	next(250_000_000)
	w.refused(exitFailed, "UNKNOWN_LINK", "network", "pin", "00000000000000000000000000000000000000000000000000000000000000ff")
	w.want(exitOK, "network", "pin", w.net.Link().String())
	w.want(exitOK, "network", "groups")
	betrayed, err := w.net.Betray(240_000_000)
	if err != nil {
		t.Fatal(err)
	}
	if betrayed.Epoch() != 4 {
		t.Fatalf("epoch %d", betrayed.Epoch())
	}
	w.refused(exitFailed, "DOUBLE_SPEND", "send", w.bob(), "1")
	w.write("other.txt", "Three rooms.\n")
	w.env["NOTARY_HOME"] += "-of-bob" // who knows nothing but genesis, and is told the other history
	w.want(exitOK, "wallet", "restore", "--words-file", "words.txt")
	w.want(exitOK, "stamp", "other.txt")
	w.env["NOTARY_HOME"] = w.env["NOTARY_HOME"][:len(w.env["NOTARY_HOME"])-len("-of-bob")]
	w.want(exitFailed, "verify", "other.txt")
	w.want(exitFailed, "verify", "other.txt", "--json")
	w.golden("epochs")
}

// TestForgedWithLinks: no part of a proof with links can be changed, the links least of all.
func TestForgedWithLinks(t *testing.T) {
	w := newWorld(t).withWallet()
	for _, weight := range []group.Weight{300_000_000, 280_000_000} {
		if err := w.net.NextEpoch(weight); err != nil {
			t.Fatal(err)
		}
	}
	w.write("lease.txt", "Two rooms.\n")
	w.want(exitOK, "stamp", "lease.txt")
	if out := w.want(exitOK, "demo", "forge", "lease.txt.notary", "--genesis", "genesis.bin"); !strings.Contains(out, "links[0]") {
		t.Errorf("links were not forged: %s", out)
	}
}
