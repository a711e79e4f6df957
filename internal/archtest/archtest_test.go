// Package archtest holds the line of docs/architecture.md: which package may import which, and what
// the pure core may not touch.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/notarynet/notaryd/"

// layers says, for each package of ours by its path, which others of ours it may import; a path that
// ends in "/..." covers everything below. The first rule that matches a package is the one that holds.
var layers = []struct {
	path    string
	imports []string
}{
	{"proto/notary/v1", nil},
	{"proto/refusal", []string{"proto/notary/v1"}},
	{"proto/domain", nil},
	{"proto/bls", []string{"proto/domain"}},
	{"proto/canonical", []string{"proto/notary/v1", "proto/refusal", "proto/canonical/..."}},
	{"proto/group", []string{"proto/..."}},
	{"utxo/...", []string{"proto/...", "utxo/..."}},
	{"observation/...", []string{"proto/...", "observation/..."}},
	{"trust/study", []string{"proto/...", "trust/...", "internal/plot"}},
	{"trust/...", []string{"proto/...", "trust/..."}},
	{"rewards/...", []string{"proto/...", "utxo", "observation", "trust", "rewards/..."}},
	{"conflict/...", []string{"proto/...", "utxo", "observation", "trust", "conflict/..."}},
	{"node/lifecycle", []string{"proto/...", "utxo", "observation", "trust", "conflict", "rewards"}},
	{"node/epoch", []string{"proto/...", "trust"}},
	{"node/sync", []string{"proto/domain"}},
	{"node/snapshot", []string{"proto/...", "utxo", "observation"}},
	{"node/store", []string{"proto/...", "utxo", "observation", "conflict", "node/sync", "node/snapshot"}},
	{"node/gossip", []string{"proto/...", "node/sync", "node/snapshot"}},
	{"node", []string{"proto/...", "utxo", "observation", "trust", "conflict", "rewards", "node/..."}},
	{"api/gateway/...", []string{"proto/..."}},
	{"api/...", []string{"proto/...", "api/...", "utxo", "observation"}},
	{"client/...", []string{"proto/...", "utxo", "observation", "client/..."}},
	{"cmd/notaryd/...", []string{"..."}},
	{"cmd/notary/...", []string{"proto/...", "utxo", "observation", "client/...", "internal/...", "cmd/notary/..."}},
	{"internal/refverify/...", []string{"internal/refverify/..."}},
	{"internal/sim/...", []string{"proto/...", "utxo", "observation", "trust", "conflict", "rewards", "node/lifecycle", "node/epoch", "internal/sim/..."}},
	{"internal/load", []string{"proto/..."}},
	{"internal/...", []string{"..."}},
	{"bench/...", []string{"..."}},
}

// core are the pure packages, and impure what they may not import.
var (
	core   = []string{"proto/refusal", "proto/domain", "proto/bls", "proto/canonical", "proto/group", "utxo", "observation", "trust", "conflict", "rewards", "node/lifecycle", "node/sync", "node/snapshot", "node/epoch"}
	impure = []string{"time", "context", "os", "os/...", "net", "net/...", "sync", "sync/...", "log", "log/...", "math/rand", "math/rand/...", "crypto/rand", "syscall", "runtime", "testing", "testing/..."}
	// foreign are the modules that the core may use.
	foreign = []string{
		"google.golang.org/protobuf/...", "github.com/oasisprotocol/curve25519-voi/...",
		"github.com/transparency-dev/merkle/...",
	}
)

type pkg struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

func packages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []pkg
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages found: the check would hold nothing", len(all))
	}
	return all
}

// matches reports whether a path is meant by a pattern.
func matches(pattern, path string) bool {
	if pattern == "..." {
		return true
	}
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return path == below || strings.HasPrefix(path, below+"/")
	}
	return pattern == path
}

func matchesAny(patterns []string, path string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, path) })
}

func TestArrowsPointDown(t *testing.T) {
	for _, p := range packages(t) {
		if problem := checkLayer(strings.TrimPrefix(p.ImportPath, module), p.Imports); problem != "" {
			t.Error(problem)
		}
	}
}

// checkLayer says what is wrong with the imports of one package of ours, or nothing.
func checkLayer(path string, imports []string) string {
	for _, l := range layers {
		if !matches(l.path, path) {
			continue
		}
		for _, imp := range imports {
			if ours, ok := strings.CutPrefix(imp, module); ok && !matchesAny(l.imports, ours) {
				return path + " imports " + ours + ": the arrow points up or sideways"
			}
		}
		return ""
	}
	return path + " has no place in the layout"
}

func TestCoreIsPure(t *testing.T) {
	for _, p := range packages(t) {
		if problem := checkCore(strings.TrimPrefix(p.ImportPath, module), p.Imports); problem != "" {
			t.Error(problem)
		}
	}
}

// checkCore says what a pure package imports that it may not, or nothing.
func checkCore(path string, imports []string) string {
	if !slices.Contains(core, path) {
		return ""
	}
	for _, imp := range imports {
		switch {
		case strings.HasPrefix(imp, module):
		case matchesAny(impure, imp):
			return path + " is core and imports " + imp
		case !strings.Contains(strings.Split(imp, "/")[0], "."): // standard library
		case matchesAny(foreign, imp):
		case path == "proto/bls" && matches("github.com/consensys/gnark-crypto/ecc/...", imp):
		case path == "trust" && matches("gonum.org/v1/gonum/...", imp):
		default:
			return path + " is core and imports the foreign " + imp
		}
	}
	return ""
}

// The checks themselves must be able to fail.
func TestChecksFail(t *testing.T) {
	for name, problem := range map[string]string{
		"up":       checkLayer("utxo", []string{module + "conflict"}),
		"sideways": checkLayer("utxo", []string{module + "observation"}),
		"stranger": checkLayer("elsewhere", nil),
		"clock":    checkCore("conflict", []string{"time"}),
		"network":  checkCore("conflict", []string{"net/http"}),
		"foreign":  checkCore("utxo", []string{"gonum.org/v1/gonum/mat"}),
	} {
		if problem == "" {
			t.Errorf("%s: not found", name)
		}
	}
	if p := checkLayer("conflict", []string{"fmt", module + "utxo"}); p != "" {
		t.Error(p)
	}
}
