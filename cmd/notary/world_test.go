package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/client/wallet"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

var update = flag.Bool("update", false, "write the transcripts anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Words of ann, whose wallet the tests use, and of bob, who receives.
const (
	annWords = "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote"
	bobWords = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon art"
)

// world is a person at a prompt, in an empty directory, with a devnet that runs.
type world struct {
	t   *testing.T
	net *clienttest.Network
	// dir is the working directory; wallets are below it.
	dir string
	env map[string]string
	// around is handed to every command; tests change it.
	around surroundings
	// script is what was typed and what came back.
	script strings.Builder
}

// noon is what every clock shows.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func address(t *testing.T, words string) utxo.Address {
	t.Helper()
	// The wallet package makes keys from words in stores alone, on purpose.
	store := wallet.NewStore(t.TempDir()).WithWorkFactor(1)
	w, err := store.Create("x", words, 0, "p", 0)
	if err != nil {
		t.Fatal(err)
	}
	return utxo.KeyLock(w.PublicKey).Address()
}

// newWorld gives ann 50 and 5 coins and the faucet a million.
func newWorld(t *testing.T) *world {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	faucet := domain.NewPrivateKey([32]byte{0xfa})
	ann := address(t, annWords)
	n, err := clienttest.New("devnet",
		clienttest.Grant{To: ann, Units: 50 * utxo.UnitsPerCoin},
		clienttest.Grant{To: ann, Units: 5 * utxo.UnitsPerCoin},
		clienttest.Grant{To: utxo.KeyLock(faucet.Public()).Address(), Units: 1_000_000 * utxo.UnitsPerCoin},
	)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	n.SetNow(func() uint64 { return uint64(noon.UnixMilli()) })
	w := &world{t: t, net: n, dir: dir, env: map[string]string{
		"NOTARY_HOME": filepath.Join(dir, "home"), "NOTARY_RUNTIME": filepath.Join(dir, "devnet.json"), "NOTARY_PASSPHRASE": "correct horse",
	}}
	w.around = surroundings{
		now: func() time.Time { return noon }, env: func(k string) string { return w.env[k] },
		dial: []client.Option{
			client.WithDialOptions(n.Dialer()),
			client.WithRetry(client.Retry{Attempts: 3, Base: time.Nanosecond, Max: time.Nanosecond, Patience: time.Second}),
		},
		workFactor: 1,
	}
	w.writeRuntime(faucet)
	w.write("words.txt", annWords)
	return w
}

func (w *world) writeRuntime(faucet domain.PrivateKey) {
	w.t.Helper()
	key, genesis := filepath.Join(w.dir, "faucet.key"), filepath.Join(w.dir, "genesis.bin")
	if err := runtimefile.SaveKey(key, faucet); err != nil {
		w.t.Fatal(err)
	}
	w.write("genesis.bin", string(w.net.Genesis.Bytes))
	f := &runtimefile.File{
		NetworkID: w.net.Genesis.ID.String(), Name: "devnet", AddressPrefix: w.net.Genesis.Doc.GetAddressPrefix(), Genesis: genesis,
		Nodes:     []runtimefile.Node{{Name: "node-0", NodeKey: strings.Repeat("00", 32), API: clienttest.Target}},
		FaucetKey: key, StartedMS: uint64(noon.UnixMilli()), PID: 1,
	}
	if err := runtimefile.Save(w.env["NOTARY_RUNTIME"], f); err != nil {
		w.t.Fatal(err)
	}
}

// withWallet restores ann's wallet, so that every id is the same in every run.
func (w *world) withWallet() *world {
	w.t.Helper()
	w.want(exitOK, "wallet", "restore", "--words-file", "words.txt")
	w.want(exitOK, "balance") // the first contact
	w.script.Reset()
	return w
}

// ticking lets every clock go on from noon.
func (w *world) ticking() *world {
	began := time.Now()
	w.around.now = func() time.Time { return noon.Add(time.Since(began)) }
	w.net.SetNow(func() uint64 { return uint64(w.around.now().UnixMilli()) })
	return w
}

func (w *world) write(name, content string) {
	w.t.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(content), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) read(name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.t.Fatal(err)
	}
	return b
}

// run executes one command line and notes it in the script.
func (w *world) run(args ...string) (code int, stdout, stderr string) {
	w.t.Helper()
	var out, errs bytes.Buffer
	s := w.around
	s.out, s.err = &out, &errs
	if s.in == nil {
		s.in = strings.NewReader("")
	}
	code = run(w.t.Context(), s, args)
	stdout, stderr = w.stable(out.String()), w.stable(errs.String())
	fmt.Fprintf(&w.script, "$ notary %s\n%s", quoted(args), stdout)
	for line := range strings.Lines(stderr) {
		fmt.Fprintf(&w.script, "! %s", line)
	}
	if code != 0 {
		fmt.Fprintf(&w.script, "exit code %d\n", code)
	}
	w.script.WriteString("\n")
	return code, stdout, stderr
}

// stable takes out what differs from run to run.
func (w *world) stable(s string) string { return strings.ReplaceAll(s, w.dir, "/home/ann") }

func quoted(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = a
		if a == "" || strings.ContainsAny(a, " ?&'") {
			out[i] = "'" + a + "'"
		}
	}
	return strings.Join(out, " ")
}

// want runs a command that must end with a code, and returns what it printed.
func (w *world) want(code int, args ...string) string {
	w.t.Helper()
	got, stdout, stderr := w.run(args...)
	if got != code {
		w.t.Fatalf("notary %s: exit code %d, want %d\n%s%s", quoted(args), got, code, stdout, stderr)
	}
	return stdout
}

// refused runs a command that must fail with a code and a reason, in one line on standard error.
func (w *world) refused(code int, reason string, args ...string) string {
	w.t.Helper()
	got, stdout, stderr := w.run(args...)
	last := stderr[strings.LastIndex(strings.TrimRight(stderr, "\n"), "\n")+1:]
	if got != code || !strings.HasSuffix(last, "["+reason+"]\n") || !strings.HasPrefix(last, "notary: ") {
		w.t.Errorf("notary %s: exit code %d, want %d [%s]\n%s%s", quoted(args), got, code, reason, stdout, stderr)
	}
	if stdout != "" {
		w.t.Errorf("notary %s failed and printed %q", quoted(args), stdout)
	}
	return stderr
}

// golden holds the script against the transcript that is kept.
func (w *world) golden(name string) {
	w.t.Helper()
	path := filepath.Join(testdata, name+".txt")
	got := w.script.String()
	if *update {
		if err := os.MkdirAll(testdata, 0o755); err != nil {
			w.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		w.t.Fatal(err)
	}
	if got != string(want) {
		w.t.Errorf("%s differs; run go test -update and look at the change.\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}

// testdata is absolute: tests change the working directory.
var testdata = func() string {
	dir, err := filepath.Abs("testdata/transcripts")
	if err != nil {
		panic(err)
	}
	return dir
}()
