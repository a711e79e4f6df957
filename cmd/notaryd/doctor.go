package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/utxo"
)

// How bad a finding is, and the exit code of the worst.
const (
	fine    = "ok"
	skipped = "skipped"
	warning = "warning"
	problem = "problem"
)

// finding is what one check of the doctor found, and what mends it.
type finding struct {
	Check  string `json:"check"`
	State  string `json:"state"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// exitCode is an error that only sets the exit code: what there is to say has been said.
type exitCode int

// Error implements error.
func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Exit codes of the doctor, besides those of every command.
const (
	exitWarnings exitCode = 3
	exitProblems exitCode = 4
)

func doctorCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "doctor DIR|FILE",
		Short: "What is wrong with a node, and how to mend it",
		Long: `doctor looks at the configuration, key, store, disk and machine of a node, and asks the node itself where it runs.
It changes nothing: the store is read where it lies, also after a crash, and left alone where another process has it open.

Exit codes: 0 all well, 1 the doctor failed, 3 warnings, 4 problems.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			list := examine(cmd.Context(), configPath(args[0]))
			if asJSON {
				if err := printJSON(list); err != nil {
					return err
				}
			} else {
				printFindings(cmd.OutOrStdout(), list)
			}
			return verdictOf(list)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

// verdictOf is the exit code of the worst finding.
func verdictOf(list []finding) error {
	worst := exitCode(0)
	for _, f := range list {
		switch f.State {
		case problem:
			worst = max(worst, exitProblems)
		case warning:
			worst = max(worst, exitWarnings)
		}
	}
	if worst == 0 {
		return nil
	}
	return worst
}

func printFindings(w io.Writer, list []finding) {
	for _, f := range list {
		fmt.Fprintf(w, "%-8s  %-13s  %s\n", f.State, f.Check, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(w, "%-8s  %-13s  mend: %s\n", "", "", f.Fix)
		}
	}
}

// examine makes all checks.
func examine(ctx context.Context, path string) []finding {
	config, _, err := loadConfig(path, nil)
	if err != nil {
		return []finding{{"configuration", problem, err.Error(), "correct the setting that is named; notaryd config show lists all of them"}}
	}
	list := []finding{{"configuration", fine, path, ""}}
	list = append(list, checkKeyFile(config))
	up := runs(config)
	list = append(list, checkStore(config, up), checkDisk(config), checkDescriptors(), checkBuffers(config, "/proc/sys/net/core"), checkKernelClock())
	if !up {
		list = append(list, finding{"node", warning, "it does not run: nothing answers on " + config.API.Admin, "notaryd run, or systemctl start notaryd"})
		return append(list, checkPorts(config))
	}
	return append(list, askNode(ctx, config)...)
}

// checkKeyFile looks at the node key and the genesis document.
func checkKeyFile(config Config) finding {
	f := finding{Check: "key"}
	g, key, err := identity(config)
	if err != nil {
		f.State, f.Detail, f.Fix = problem, err.Error(), "notaryd init makes a new node; a key that is lost cannot be made again"
		return f
	}
	info, err := os.Stat(config.Key)
	if err != nil {
		f.State, f.Detail = problem, err.Error()
		return f
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		f.State, f.Detail = problem, fmt.Sprintf("%s may be read by others (mode %v)", config.Key, mode)
		f.Fix = "chmod 600 " + config.Key + ", and think about who may have read it"
		return f
	}
	f.State, f.Detail = fine, fmt.Sprintf("%s on network %s (%s)", key.Public(), g.ID, g.Doc.Name)
	return f
}

// checkStore looks into the store of a node that does not run, which it leaves as it is, and says whether it may sign.
func checkStore(config Config, up bool) finding {
	f := finding{Check: "store"}
	if up {
		f.State, f.Detail = fine, "in use by the node"
		return f
	}
	g, key, err := identity(config)
	if err != nil {
		f.State, f.Detail = skipped, "without a key"
		return f
	}
	signing, err := store.Look(config.Data, optionsOf(config, g, key, utxo.Delta{}, false, slog.New(slog.DiscardHandler)))
	if err != nil {
		f.State, f.Detail, f.Fix = problem, err.Error(), storeFix(err)
		return f
	}
	switch {
	case signing.Backup:
		f.State, f.Detail = problem, "a backup that was not restored: the node would follow and never vote"
		f.Fix = "notaryd restore gives it a signing epoch of its own"
	case signing.RestoredMS != 0:
		f.State = warning
		f.Detail = fmt.Sprintf("restored on %s: it signs in epoch %d alone, and votes once a link names that",
			time.UnixMilli(int64(signing.RestoredMS)).UTC().Format(time.DateTime), signing.Epoch)
		f.Fix = fmt.Sprintf("have the master key certify it: notaryd certify DIR --peer ID --signing-epoch %d. If /readyz has nothing to say, it is done", signing.Epoch)
	default:
		f.State, f.Detail = fine, fmt.Sprintf("%s, bound to this key and network, signs in epoch %d", config.Data, signing.Epoch)
	}
	return f
}

// storeFix says what to do about a store that does not open.
func storeFix(err error) string {
	switch {
	case errors.Is(err, store.ErrLocked):
		return "another process has it open, so nothing was read: is a node running with another api.admin, or a backup being restored?"
	case errors.Is(err, store.ErrNoVotes):
		return "this key's votes are missing, and without them it may contradict itself: restore a backup (notaryd restore --from), or begin anew (--lost)"
	case errors.Is(err, store.ErrOtherKey):
		return "this store belongs to another key: put the right node.key or data directory in place"
	case errors.Is(err, store.ErrOtherNetwork):
		return "this store belongs to another network: put the right genesis.bin or data directory in place"
	case errors.Is(err, store.ErrOlderSchema):
		return "run the version that wrote it, or begin anew (notaryd restore --lost)"
	case errors.Is(err, store.ErrNewerSchema):
		return "run the version that wrote it, or a later one"
	case errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrStoreFailed):
		return "check the disk (dmesg, smartctl); then notaryd restore, on a disk that is sound"
	}
	return ""
}

// checkPorts tries the ports of a node that does not run.
func checkPorts(config Config) finding {
	for name, addr := range map[string]string{"api.public": config.API.Public, "metrics.listen": config.Metrics.Listen} {
		if addr == "" {
			continue
		}
		l, err := net.Listen("tcp", addr)
		if err != nil {
			return finding{"ports", problem, fmt.Sprintf("%s: %v", name, err), "stop what uses the port, or set another"}
		}
		l.Close()
	}
	return finding{"ports", fine, "free", ""}
}

// readiness is what /readyz says.
func readiness(ctx context.Context, target string) (problems []string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+target+"/readyz", nil)
	if err != nil {
		return nil, err
	}
	r, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close()
	var answer struct {
		Ready    *bool    `json:"ready"`
		Problems []string `json:"problems"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<20)).Decode(&answer); err != nil || answer.Ready == nil {
		return nil, fmt.Errorf("no answer of a node: %w", errors.Join(err, fs.ErrInvalid))
	}
	return answer.Problems, nil
}

// sentence joins what is in the way.
func sentence(problems []string) string { return strings.Join(problems, "; ") }
