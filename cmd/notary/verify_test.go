package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/observation"
)

// stamped is a world with a stamped file.
func stamped(t *testing.T) *world {
	w := newWorld(t).withWallet()
	w.write("a.txt", "a")
	w.want(exitOK, "stamp", "a.txt")
	return w
}

type verdictJSON struct {
	Conclusion, Reason, Field, Message string
}

func (w *world) verdict(code int, args ...string) verdictJSON {
	w.t.Helper()
	var v verdictJSON
	if err := json.Unmarshal([]byte(w.want(code, append(args, "--json")...)), &v); err != nil {
		w.t.Fatal(err)
	}
	return v
}

// Every byte of a proof matters: flipped, the proof is refused, with the part at fault named, or, where
// the byte lies in a witness, which proves nothing, it still holds.
func TestVerifyFlippedBytes(t *testing.T) {
	w := stamped(t)
	whole := w.read("a.txt.notary")
	fields := map[string]int{}
	held := 0
	for i := 0; i < len(whole); i++ {
		if i >= 64 && i%3 != 0 {
			continue // every part is longer than that
		}
		flipped := append([]byte(nil), whole...)
		flipped[i] ^= 1
		w.write("a.txt.notary", string(flipped))
		code, out, _ := w.run("verify", "a.txt", "--json", "--genesis", "genesis.bin")
		var v verdictJSON
		if err := json.Unmarshal([]byte(out), &v); err != nil {
			t.Fatalf("byte %d: %v in %q", i, err, out)
		}
		switch {
		case code == exitOK && v.Conclusion == "valid":
			held++
		case code == exitFailed && v.Conclusion == "invalid" && v.Reason != "" && v.Message != "":
			fields[v.Field]++
		default:
			t.Fatalf("byte %d: exit code %d, %+v", i, code, v)
		}
	}
	// The witness of one key takes 106 bytes of the bundle.
	if held > 40 {
		t.Errorf("%d of %d flipped bytes made no difference", held, len(whole))
	}
	for _, part := range []string{
		"magic", "version", "network", "link", "observations[0].signature", "observations[3].signature",
		"transactions[0].transaction", "transactions[0].edges[0].path", "transactions[0].edges[3].path",
	} {
		if fields[part] == 0 {
			t.Errorf("no flipped byte was found in %s; found were %v", part, fields)
		}
	}
}

// However a proof is cut, it is refused and nothing worse.
func TestVerifyTruncated(t *testing.T) {
	w := stamped(t)
	whole := w.read("a.txt.notary")
	for n := 0; n < len(whole); n += 7 {
		w.write("a.txt.notary", string(whole[:n]))
		if v := w.verdict(exitFailed, "verify", "a.txt"); v.Conclusion != "invalid" || v.Reason == "" {
			t.Errorf("%d of %d bytes: %+v", n, len(whole), v)
		}
	}
	w.write("a.txt.notary", string(whole)+"x")
	w.verdict(exitFailed, "verify", "a.txt")
	w.write("a.txt.notary", "")
	if v := w.verdict(exitFailed, "proof", "verify", "a.txt.notary"); v.Field != "magic" {
		t.Errorf("empty: %+v", v)
	}
	w.write("a.txt.notary", "{}")
	w.verdict(exitFailed, "proof", "verify", "a.txt.notary")
	w.write("a.txt.notary", "{")
	if v := w.verdict(exitFailed, "proof", "verify", "a.txt.notary"); v.Reason != "MALFORMED" {
		t.Errorf("half a JSON: %+v", v)
	}
	if err := os.Truncate(filepath.Join(w.dir, "a.txt.notary"), observation.MaxProofBytes+100); err != nil {
		t.Fatal(err)
	}
	if v := w.verdict(exitFailed, "proof", "verify", "a.txt.notary"); v.Conclusion != "invalid" {
		t.Errorf("huge: %+v", v)
	}
}

func TestVerifyExitCodes(t *testing.T) {
	w := stamped(t)
	w.want(exitOK, "verify", "a.txt", "--genesis", "genesis.bin")
	w.want(exitOK, "verify", "a.txt", "--proof", "a.txt.notary")

	// Whoever trusts nothing cannot tell; whoever is given the genesis document can.
	trusting := w.env["NOTARY_HOME"]
	w.env["NOTARY_HOME"] = filepath.Join(w.dir, "elsewhere")
	if v := w.verdict(exitNoTrustRoot, "verify", "a.txt"); v.Conclusion != "no_trust_root" || v.Reason != "NO_TRUST_ROOT" {
		t.Errorf("no trust root: %+v", v)
	}
	if out := w.want(exitNoTrustRoot, "proof", "verify", "a.txt.notary"); !strings.Contains(out, "[NO_TRUST_ROOT]") {
		t.Errorf("no trust root: %s", out)
	}
	w.want(exitOK, "network", "trust", "genesis.bin")
	w.want(exitOK, "verify", "a.txt")
	id := w.net.Genesis.ID.String()
	w.want(exitOK, "network", "forget", id)
	w.refused(exitNoTrustRoot, "NO_TRUST_ROOT", "network", "forget", id)
	w.want(exitNoTrustRoot, "verify", "a.txt")
	w.env["NOTARY_HOME"] = trusting

	// Another network's genesis document contradicts the proof.
	other, err := clienttest.New("other")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	w.write("other.bin", string(other.Genesis.Bytes))
	if v := w.verdict(exitFailed, "verify", "a.txt", "--genesis", "other.bin"); v.Reason != "WRONG_NETWORK" || v.Field != "network" {
		t.Errorf("other genesis: %+v", v)
	}
	w.write("bad.bin", "x")
	w.refused(exitUsage, "INVALID_GENESIS", "verify", "a.txt", "--genesis", "bad.bin")
	w.refused(exitUsage, "INVALID_GENESIS", "network", "trust", "bad.bin")
	w.refused(exitUsage, "USAGE", "verify", "a.txt", "--genesis", "none.bin")
	w.refused(exitUsage, "USAGE", "verify", "none.txt")
	w.refused(exitUsage, "USAGE", "verify", ".")
	w.refused(exitUsage, "USAGE", "proof", "verify", "none.notary")
	w.write("b.txt", "b")
	w.refused(exitUsage, "NO_PROOF", "verify", "b.txt")
	if v := w.verdict(exitFailed, "verify", "b.txt", "--proof", "a.txt.notary"); v.Reason != "NOT_FOUND" {
		t.Errorf("proof of another file: %+v", v)
	}
}

// A stamp proven without the links from what is known here: nobody can tell, and nothing worse happens.
func TestVerifyWithoutLinks(t *testing.T) {
	w := newWorld(t).withWallet()
	if err := w.net.NextEpoch(300_000_000); err != nil {
		t.Fatal(err)
	}
	w.write("a.txt", "a")
	w.want(exitOK, "stamp", "a.txt")
	p, err := observation.DecodeFile(w.read("a.txt.notary"), observation.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	w.want(exitOK, "proof", "get", p.Transactions[0].ID.String(), "--short", "-o", "short.notary")
	for _, proof := range []string{"verify a.txt --proof short.notary", "proof verify short.notary"} {
		if v := w.verdict(exitNoTrustRoot, append(strings.Fields(proof), "--genesis", "genesis.bin")...); v.Conclusion != "no_trust_root" || v.Reason != "NO_TRUST_ROOT" {
			t.Errorf("%s: %+v", proof, v)
		}
	}
	w.write("a.txt", "b")
	if v := w.verdict(exitFailed, "verify", "a.txt", "--proof", "short.notary", "--genesis", "genesis.bin"); v.Reason != "NOT_FOUND" {
		t.Errorf("of another file: %+v", v)
	}
}

// Half of the network is silent: the proof is sound and too weak, and nothing pretends otherwise.
func TestVerifyNotEnoughWeight(t *testing.T) {
	w := newWorld(t).withWallet()
	weak := w.weakProof("a.txt", "a")
	w.write("a.txt.notary", weak)
	v := w.verdict(exitWeight, "verify", "a.txt")
	if v.Conclusion != "not_enough_weight" || v.Reason != "NOT_ENOUGH_WEIGHT" {
		t.Errorf("%+v", v)
	}
	out := w.want(exitWeight, "verify", "a.txt")
	if !strings.Contains(out, "50.0 % signed, more than 66.7 % needed, 16.7 % missing") || !strings.HasPrefix(out, "NOT ENOUGH WEIGHT: a.txt") {
		t.Errorf("said %s", out)
	}
	w.want(exitWeight, "proof", "verify", "a.txt.notary")
	w.write("a.txt", "changed")
	w.want(exitFailed, "verify", "a.txt")
}

// weakProof stamps a file and takes half of the votes out of its proof.
func (w *world) weakProof(name, content string) string {
	w.t.Helper()
	w.write(name, content)
	w.want(exitOK, "stamp", name)
	p, err := observation.DecodeFile(w.read(name+".notary"), observation.Limits{})
	if err != nil {
		w.t.Fatal(err)
	}
	t := &p.Transactions[0]
	edges := p.Edges(w.net.Genesis.Group, 0)[:2]
	weak, err := observation.BuildProof(w.net.Genesis.Group, nil, []observation.Item{{ID: t.ID, Raw: t.Raw, Round: t.Round, Edges: edges}})
	if err != nil {
		w.t.Fatal(err)
	}
	return string(weak.EncodeFile())
}

func TestStampRefusesFirst(t *testing.T) {
	w := stamped(t)
	calls := w.net.Calls("SubmitTransaction")
	w.write("b.txt", "b")
	w.refused(exitUsage, "USAGE", "stamp")
	w.refused(exitUsage, "USAGE", "stamp", "b.txt", "none.txt")
	w.refused(exitUsage, "USAGE", "stamp", "b.txt", ".")
	w.refused(exitUsage, "USAGE", "stamp", "b.txt", "b.txt")
	w.refused(exitUsage, "USAGE", "stamp", "b.txt", "a.txt") // a.txt.notary is there
	if w.net.Calls("SubmitTransaction") != calls {
		t.Error("something was submitted before all files were looked at")
	}
	if _, err := os.Stat("b.txt.notary"); err == nil {
		t.Error("a proof was written")
	}
}

// More files than fit one transaction, and empty ones: each verifies alone.
func TestStampMany(t *testing.T) {
	w := newWorld(t).withWallet()
	args := []string{"stamp"}
	for i := range stampsPerTransaction + 3 {
		name := strings.Repeat("f", i+1)
		w.write(name, strings.Repeat("x", i))
		args = append(args, name)
	}
	w.want(exitOK, args...)
	if n := w.net.Calls("SubmitTransaction"); n != 2 {
		t.Errorf("%d transactions, want 2", n)
	}
	for _, name := range args[1:] {
		w.want(exitOK, "verify", name)
	}
}

// A proof that cannot be written is said to be of a final transaction.
func TestProofNotWritten(t *testing.T) {
	w := newWorld(t).withWallet()
	stderr := w.refused(exitFailed, "PROOF_NOT_WRITTEN", "send", w.bob(), "1", "-o", "no/such/directory/p.notary")
	if !strings.Contains(stderr, "is final") || !strings.Contains(stderr, "notary proof get ") {
		t.Errorf("said %s", stderr)
	}
	w.want(exitOK, "balance", w.bob())
}
