package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/internal/bubble"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestUsage(t *testing.T) {
	w := newWorld(t).withWallet()
	for _, args := range [][]string{
		{"nonsense"},
		{"--nonsense"},
		{"send"},
		{"send", w.bob()},
		{"send", w.bob(), "0"},
		{"send", w.bob(), "1", "2"},
		{"send", w.bob(), "1", "--wait", "soon"},
		{"send", w.bob(), "1", "--wait", "none", "-o", "x"},
		{"send", "notary:" + w.bob() + "?amount=5", "1"},
		{"send", "notary:" + w.bob() + "?amount=5&product=" + strings.Repeat("0a", 32), "--product", "Tea"},
		{"send", "notary:" + w.bob() + "?amount=5", "--product", strings.Repeat("0a", 32)},
		{"issue", "5"},
		{"issue", "0", "--name", "x"},
		{"issue", "5", "--name", "x", "--decimals", "19"},
		{"proof", "get", "xyz"},
		{"proof", "get", strings.Repeat("00", 32), "--format", "xml"},
		{"tx", "get", "1"},
		{"tx", "watch", "1"},
		{"tx", "why", "1"},
		{"tx", "resubmit", "1"},
		{"tx", "cancel", "1"},
		{"tx", "forget", "1"},
		{"network", "forget", "1"},
		{"network", "trust", "none.bin"},
		{"wallet", "restore", "x", "--words-file", "none.txt"},
		{"wallet", "new", "x", "--account", "2147483648"},
		{"faucet", "--amount", "0"},
		{"bench"},
		{"bench", "--sequential", "1", "--rate", "1"},
		{"bench", "--rate", "1", "--duration", "1ms"},
		{"bench", "--rate", "1000000", "--duration", "1h"},
		{"bench", "--sequential", "1", "--streams", "0"},
		{"bench", "--sequential", "-1"},
		{"bench", "--max", "--rate", "1"},
		{"bench", "--max", "--window", "0"},
		{"bench", "--max", "--window", "20001"},
		{"bench", "--max", "--duration", "-1s"},
		{"balance", "--tls-ca", "none.pem"},
		{"balance", "--tls-ca", "genesis.bin"},
	} {
		w.refused(exitUsage, "USAGE", args...)
	}
	w.refused(exitUsage, "INVALID_URI", "send", "notary:", "1")
	w.refused(exitUsage, "INVALID_URI", "address", "--memo", strings.Repeat("x", 257))
	w.refused(exitUsage, "INVALID_AMOUNT", "address", "--amount", "one")
	w.refused(exitUsage, "INVALID_AMOUNT", "send", w.bob(), "1", "--fee", "-1")
	w.refused(exitUsage, "INVALID_AMOUNT", "faucet", "--amount", "1e3")
	w.refused(exitUsage, "INVALID_AMOUNT", "issue", "1.5", "--name", "x")
	if n := w.net.Calls("SubmitTransaction"); n != 0 {
		t.Errorf("%d transactions were submitted", n)
	}
}

func TestNoNode(t *testing.T) {
	w := newWorld(t).withWallet()
	w.net.Set(clienttest.Faults{Failures: []error{clienttest.Down(), clienttest.Down(), clienttest.Down()}})
	w.refused(exitUnreachable, "UNREACHABLE", "balance")
	w.net.Set(clienttest.Faults{Failures: []error{clienttest.Overloaded(time.Minute)}})
	w.refused(exitUnreachable, "OVERLOADED", "balance")
	w.net.Set(clienttest.Faults{})
	if err := os.Remove(w.env["NOTARY_RUNTIME"]); err != nil {
		t.Fatal(err)
	}
	w.refused(exitUnreachable, "NO_NODE", "balance")
	w.refused(exitUnreachable, "NO_NODE", "faucet", "--node", clienttest.Target)
	w.want(exitOK, "balance", "--node", clienttest.Target)
	w.want(exitOK, "address") // the only network that is trusted gives the prefix
	w.write("devnet.json", "{}")
	w.refused(exitUnreachable, "NO_NODE", "balance")
}

// Any node of the devnet will do where none is named; one that is named has to answer.
func TestNextNode(t *testing.T) {
	w := newWorld(t).withWallet()
	text := string(w.read("devnet.json"))
	node := text[strings.Index(text, "    {") : strings.Index(text, "    }")+len("    }")]
	w.write("devnet.json", strings.Replace(text, node, node+",\n"+strings.Replace(node, clienttest.Target, clienttest.Target+"2", 1), 1))
	down := []error{clienttest.Down(), clienttest.Down(), clienttest.Down()} // as often as it is tried
	w.net.Set(clienttest.Faults{Failures: down})
	w.want(exitOK, "balance")
	w.net.Set(clienttest.Faults{Failures: down})
	w.refused(exitUnreachable, "UNREACHABLE", "balance", "--node", clienttest.Target)
	w.net.Set(clienttest.Faults{Failures: append(down, down...)})
	w.refused(exitUnreachable, "UNREACHABLE", "balance")
}

// The connection is lost between signing and the answer: the very same payment is submitted again.
func TestLostSubmission(t *testing.T) {
	w := newWorld(t).withWallet()
	// GetNetwork, GetBalance are not asked for coins; ListUnspent is, then the submission fails.
	w.net.Set(clienttest.Faults{Failures: []error{nil, nil, clienttest.Down(), clienttest.Down(), clienttest.Down()}})
	stderr := w.refused(exitUnreachable, "UNREACHABLE", "send", w.bob(), "1")
	if !strings.Contains(stderr, "may or may not have reached the node") {
		t.Fatalf("said %s", stderr)
	}
	_, rest, _ := strings.Cut(stderr, "notary tx resubmit ")
	id := rest[:64]
	w.want(exitOK, "tx", "resubmit", id)
	if out := w.want(exitOK, "balance", w.bob()); out != "1 coin\n" {
		t.Errorf("bob has %s", out)
	}
	w.refused(exitFailed, "NOT_FOUND", "tx", "resubmit", id)
	w.want(exitOK, "tx", "get", id)
}

func TestWrongNetwork(t *testing.T) {
	w := newWorld(t).withWallet()
	other, err := clienttest.New("devnet", clienttest.Grant{To: address(t, annWords), Units: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	lie := clienttest.Faults{Network: func(r *notaryv1.GetNetworkResponse) {
		r.NetworkId, r.Genesis = other.Genesis.ID[:], other.Genesis.Bytes
	}}
	// The runtime file says which network it is, and so does the first contact.
	w.net.Set(lie)
	w.refused(exitNetwork, "WRONG_NETWORK", "balance")
	if err := os.Remove(w.env["NOTARY_RUNTIME"]); err != nil {
		t.Fatal(err)
	}
	w.refused(exitNetwork, "WRONG_NETWORK", "balance", "--node", clienttest.Target)
	w.want(exitOK, "network", "forget", w.net.Genesis.ID.String())
	_, _, stderr := w.run("balance", "--node", clienttest.Target)
	if !strings.Contains(stderr, other.Genesis.ID.String()) || !strings.Contains(stderr, "first contact") {
		t.Errorf("the first contact was not said aloud: %s", stderr)
	}
	if _, _, stderr := w.run("balance", "--node", clienttest.Target); stderr != "" {
		t.Errorf("the second contact: %s", stderr)
	}
	w.net.Set(clienttest.Faults{})
	w.refused(exitNetwork, "WRONG_NETWORK", "balance", "--node", clienttest.Target)
}

func TestPassphrases(t *testing.T) {
	w := newWorld(t)
	delete(w.env, "NOTARY_PASSPHRASE")
	w.refused(exitWallet, "NO_PASSPHRASE", "wallet", "new")
	w.refused(exitWallet, "NO_WALLET", "address")
	w.refused(exitWallet, "NO_WALLET", "send", w.bob(), "1")
	w.write("empty", "\n")
	w.refused(exitWallet, "NO_PASSPHRASE", "wallet", "new", "--passphrase-file", "empty")
	w.refused(exitWallet, "NO_PASSPHRASE", "wallet", "new", "--passphrase-file", "none")
	w.write("pass", "from a file\r\nsecond line")
	w.want(exitOK, "wallet", "new", "--passphrase-file", "pass", "--hide-words")
	w.refused(exitWallet, "WALLET_EXISTS", "wallet", "new", "--passphrase-file", "pass")
	w.refused(exitWallet, "INVALID_NAME", "wallet", "new", "No Name", "--passphrase-file", "pass")
	w.refused(exitWallet, "NO_WALLET", "wallet", "use", "nobody")
	w.refused(exitWallet, "NO_PASSPHRASE", "wallet", "export")
	w.env["NOTARY_PASSPHRASE"] = "wrong"
	w.refused(exitWallet, "WRONG_PASSPHRASE", "wallet", "export")
	w.want(exitOK, "wallet", "export", "--passphrase-file", "pass") // the flag goes first
	delete(w.env, "NOTARY_PASSPHRASE")

	// A person is asked, twice for a new wallet.
	answers := []string{"typed", "typed", "typed", "one", "other", "typed"}
	var asked []string
	w.around.secret = func(prompt string) (string, error) {
		asked = append(asked, prompt)
		if len(answers) == 0 {
			return "", errors.New("no more answers")
		}
		answer := answers[0]
		answers = answers[1:]
		return answer, nil
	}
	w.want(exitOK, "wallet", "new", "typed")
	w.want(exitOK, "wallet", "export", "typed")
	w.refused(exitWallet, "PASSPHRASES_DIFFER", "wallet", "new", "x")
	w.want(exitOK, "wallet", "export", "typed")
	w.refused(exitFailed, "FAILED", "wallet", "export", "typed")
	if asked[0] != "Passphrase for the new wallet: " || asked[1] != "Once more: " || asked[2] != "Passphrase of wallet typed: " {
		t.Errorf("asked %q", asked)
	}
}

func TestRestore(t *testing.T) {
	w := newWorld(t)
	w.around.in = strings.NewReader("zoo zoo zoo zoo zoo zoo zoo zoo\nzoo zoo zoo zoo zoo zoo zoo zoo\nzoo zoo zoo zoo zoo zoo zoo vote\n")
	w.want(exitOK, "wallet", "restore")
	a := w.want(exitOK, "address")
	w.around.in = nil
	w.want(exitOK, "wallet", "restore", "copy", "--words-file", "words.txt")
	if b := w.want(exitOK, "address", "--wallet", "copy"); a != b {
		t.Errorf("%s from typed words, %s from a file", a, b)
	}
	w.refused(exitWallet, "INVALID_WORDS", "wallet", "restore", "none")
	w.write("words.txt", strings.Replace(annWords, "vote", "zoo", 1))
	w.refused(exitWallet, "INVALID_WORDS", "wallet", "restore", "none", "--words-file", "words.txt")
	w.write("home/wallets/main.json", "{}")
	w.refused(exitWallet, "DAMAGED_FILE", "address")
	w.refused(exitWallet, "DAMAGED_FILE", "wallet", "list")
}

// Words that a person types are not shown on the terminal, nor read from where it would show them.
func TestRestoreHidesTheWords(t *testing.T) {
	w := newWorld(t)
	w.around.in = strings.NewReader(bobWords)
	var asked []string
	lines := []string{"zoo zoo zoo zoo zoo zoo zoo zoo", "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote", "zoo", ""}
	w.around.secret = func(prompt string) (string, error) {
		asked = append(asked, prompt)
		line := lines[0]
		lines = lines[1:]
		return line, nil
	}
	w.want(exitOK, "wallet", "restore")
	w.want(exitOK, "wallet", "restore", "copy", "--words-file", "words.txt")
	if a, b := w.want(exitOK, "address"), w.want(exitOK, "address", "--wallet", "copy"); a != b || len(asked) != 2 || !strings.Contains(asked[1], "8 of 24") {
		t.Errorf("%s typed, %s from a file; asked %q", a, b, asked)
	}
	w.refused(exitWallet, "INVALID_WORDS", "wallet", "restore", "less")
}

func TestNewWalletShowsItsWords(t *testing.T) {
	w := newWorld(t)
	var v walletView
	if err := json.Unmarshal([]byte(w.want(exitOK, "wallet", "new", "a", "--json")), &v); err != nil || len(strings.Fields(v.Words)) != 24 {
		t.Fatalf("%+v %v", v, err)
	}
	w.write("again.txt", v.Words)
	w.want(exitOK, "wallet", "restore", "b", "--words-file", "again.txt")
	if a, b := w.want(exitOK, "address", "--wallet", "a"), w.want(exitOK, "address", "--wallet", "b"); a != b {
		t.Errorf("%s, restored %s", a, b)
	}
	if out := w.want(exitOK, "wallet", "new", "c"); !strings.Contains(out, "  24. ") {
		t.Errorf("no words for a person: %s", out)
	}
	if out := w.want(exitOK, "wallet", "new", "d", "--hide-words"); out != "wallet d made\n" {
		t.Errorf("words in spite of --hide-words: %s", out)
	}
}

func TestTransactionFailures(t *testing.T) {
	w := newWorld(t).withWallet()
	nobody := strings.Repeat("00", 32)
	for _, command := range []string{"get", "watch", "why"} {
		w.refused(exitFailed, "NOT_FOUND", "tx", command, nobody)
	}
	w.refused(exitFailed, "NOT_FOUND", "proof", "get", nobody)
	id := idOf(t, w.want(exitOK, "send", w.bob(), "1", "--wait", "none", "--json"))
	w.refused(exitOpen, "NOT_FINAL", "proof", "get", id)
	w.net.Set(clienttest.Faults{Stuck: true})
	w.refused(exitOpen, "WAIT_EXPIRED", "tx", "watch", id, "--timeout", "200ms")
	w.net.Set(clienttest.Faults{Proof: func(b []byte) []byte { b[40] ^= 1; return b }})
	w.refused(exitFailed, "INVALID_ARGUMENT", "tx", "resubmit", id)
	w.net.Set(clienttest.Faults{})
	w.want(exitOK, "tx", "resubmit", id)
	w.around.now = func() time.Time { return noon.Add(-time.Hour) } // a clock that is slow
	w.refused(exitOpen, "WINDOW_CLOSED", "send", w.bob(), "1")
	late := strings.Fields(w.want(exitOK, "tx", "pending"))[0]
	w.around.now = func() time.Time { return noon }
	w.want(exitOK, "tx", "cancel", late)
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "1", "--product", "Tea")
	w.refused(exitFunds, "INSUFFICIENT_FUNDS", "send", w.bob(), "1", "--product", nobody[:62]+"01")
	w.want(exitOK, "issue", "5", "--name", "Tea")
	w.want(exitOK, "issue", "5", "--name", "Tea")
	w.refused(exitUsage, "USAGE", "send", w.bob(), "1", "--product", "Tea") // which of the two?
}

func TestInterrupted(t *testing.T) {
	w := newWorld(t).withWallet()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs bytes.Buffer
	s := w.around
	s.in, s.out, s.err = strings.NewReader(""), &out, &errs
	if code := run(ctx, s, []string{"balance"}); code != exitOpen || !strings.Contains(errs.String(), "[INTERRUPTED]") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
}

// Who is asked for a passphrase may go away; the terminal shows again what is typed.
func TestInterruptedPrompt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	typed, restored := make(chan struct{}), false
	defer close(typed)
	read := func() ([]byte, error) { cancel(); <-typed; return nil, nil }
	if _, err := ask(ctx, read, func() error { restored = true; return nil }); !errors.Is(err, context.Canceled) || !restored {
		t.Errorf("%v, restored %v", err, restored)
	}
	if text, err := ask(t.Context(), func() ([]byte, error) { return []byte("word"), nil }, nil); text != "word" || err != nil {
		t.Errorf("%q %v", text, err)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

// A result that could not be written is no success: the words of a new wallet may be all there is of it.
func TestOutputLost(t *testing.T) {
	w := newWorld(t).withWallet()
	for _, args := range [][]string{{"wallet", "new", "a"}, {"wallet", "new", "b", "--json"}, {"balance"}, {"utxos"}} {
		var errs bytes.Buffer
		s := w.around
		s.in, s.out, s.err = strings.NewReader(""), full{}, &errs
		if code := run(t.Context(), s, args); code != exitFailed || !strings.Contains(errs.String(), "no space left") {
			t.Errorf("%v: exit code %d: %s", args, code, &errs)
		}
	}
}

// Another program holds the wallet, or the faucet: wait for it, but not for ever. By the fake clock nothing but the lock takes time.
func TestBusy(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t).withWallet()
		for path, args := range map[string][]string{
			"home/pending/main.lock": {"send", w.bob(), "1", "--timeout", "100ms"},
			"faucet.key.lock":        {"faucet", "--timeout", "100ms"},
		} {
			unlock, err := wallet.LockFile(t.Context(), filepath.Join(w.dir, path))
			if err != nil {
				t.Fatal(err)
			}
			w.refused(exitWallet, "BUSY", args...)
			if err := unlock(); err != nil {
				t.Fatal(err)
			}
			w.want(exitOK, args[:len(args)-2]...)
		}
	})
}

func TestFaucetOfAnotherNetwork(t *testing.T) {
	w := newWorld(t).withWallet()
	path := w.env["NOTARY_RUNTIME"]
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(b), clienttest.Target, "127.0.0.1:1", 1)
	w.write("devnet.json", strings.Replace(text, w.net.Genesis.ID.String(), strings.Repeat("ab", 32), 1))
	w.refused(exitNetwork, "WRONG_NETWORK", "faucet", "--node", clienttest.Target)
	w.write("devnet.json", strings.Replace(string(b), filepath.Join(w.dir, "faucet.key"), "", 1))
	w.refused(exitFailed, "NO_FAUCET", "faucet")
}

// With --json every error is one JSON object with the same keys.
func TestJSONErrors(t *testing.T) {
	w := newWorld(t)
	for want, args := range map[int][]string{
		exitUsage:  {"send", "--json"},
		exitWallet: {"address", "--json"},
	} {
		code, stdout, stderr := w.run(args...)
		var e struct {
			Reason, Message string
			ExitCode        int `json:"exit_code"`
		}
		if err := json.Unmarshal([]byte(stderr), &e); err != nil || code != want || e.ExitCode != want || e.Reason == "" || e.Message == "" || stdout != "" {
			t.Errorf("%v: exit code %d, %s %v", args, code, stderr, err)
		}
	}
}
