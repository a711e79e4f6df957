package main

import (
	"strings"
	"testing"

	"github.com/notarynet/notaryd/client/clienttest"
)

// A proof is of the network that the user means: another one that came to be known by a look at a node of it proves
// nothing until it is named.
func TestProofOfAnotherNetwork(t *testing.T) {
	w := newWorld(t).withWallet()
	answer := w.want(exitOK, "send", w.bob(), "1", "--json")
	file := idOf(t, answer)[:16] + ".notary"
	if out := w.want(exitOK, "proof", "verify", file); !strings.Contains(out, "valid on network devnet ("+w.net.Genesis.ID.String()+")") {
		t.Errorf("of which network? %s", out)
	}
	other, err := clienttest.New("devnet")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	w.write("other.bin", string(other.Genesis.Bytes))
	w.want(exitOK, "network", "trust", "other.bin")
	ours, theirs := w.net.Genesis.ID.String(), other.Genesis.ID.String()
	w.want(exitOK, "proof", "verify", file) // of the devnet that runs here
	w.env["NOTARY_RUNTIME"] = "none.json"
	stderr := w.refused(exitUsage, "NETWORK_NOT_CHOSEN", "proof", "verify", file)
	if !strings.Contains(stderr, ours) || !strings.Contains(stderr, "--network") {
		t.Errorf("said %s", stderr)
	}
	w.want(exitOK, "proof", "verify", file, "--network", ours)
	w.want(exitOK, "proof", "verify", file, "--genesis", "genesis.bin")
	w.want(exitOK, "proof", "verify", file, "--node", clienttest.Target) // which the first contact was with
	if out := w.want(exitFailed, "proof", "verify", file, "--network", theirs); !strings.Contains(out, "WRONG_NETWORK") {
		t.Errorf("said %s", out)
	}
	w.refused(exitUsage, "USAGE", "proof", "verify", file, "--network", "devnet")
	w.want(exitNoTrustRoot, "proof", "verify", file, "--network", strings.Repeat("0a", 32))
}
