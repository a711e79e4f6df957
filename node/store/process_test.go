package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
)

// The process that TestWriteErrorEndsTheProcess starts, and what it is told.
const (
	processDir   = "STORE_TEST_DIR"
	processFails = "STORE_TEST_FAILS" // "n once": the n-th change fails; "n on": and every one after it
	processSteps = 3
)

// failAt fails changes to files, from the n-th on or just that one.
type failAt struct {
	n    int64
	once bool
	seen atomic.Int64
}

func (f *failAt) String() string { return "fail at" }

// MaybeError implements errorfs.Injector.
func (f *failAt) MaybeError(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() != errorfs.OpIsWrite || op.Kind == errorfs.OpFileClose {
		return nil
	}
	if n := f.seen.Add(1) - 1; n == f.n || n > f.n && !f.once {
		fmt.Println("failed", filepath.Base(op.Path))
		return errorfs.ErrInjected
	}
	return nil
}

// TestProcess is no test but the process of TestWriteErrorEndsTheProcess: it plays the script on real files, of
// which one fails, and says what it has done. It ends as a node would.
func TestProcess(t *testing.T) {
	dir := os.Getenv(processDir)
	if dir == "" {
		t.Skip("run by TestWriteErrorEndsTheProcess")
	}
	f := &failAt{}
	var how string
	if _, err := fmt.Sscan(os.Getenv(processFails), &f.n, &how); err != nil {
		t.Fatal(err)
	}
	f.once = how == "once"
	o := testOptions(errorfs.Wrap(vfs.Default, f))
	o.Exit, o.MemBytes, o.ReserveBytes = nil, 1<<20, 1 // os.Exit
	s, err := Open(dir, o)
	if err != nil {
		fmt.Println("ends", err)
		os.Exit(1)
	}
	for i, st := range script(t, processSteps) {
		fmt.Println("starts", i+1)
		err := st.do(t, s)
		if err == nil && i%5 == 4 {
			err = s.db.Flush()
		}
		if err != nil {
			fmt.Println("ends", err)
			os.Exit(1)
		}
		if st.synced {
			fmt.Println("synced", i+1)
		}
	}
	fmt.Println("played")
	if err := s.Close(); err != nil {
		fmt.Println("ends", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A process whose disk fails at any change to any file, once or for good, ends with an error unless it could do
// without that change; and the next one finds everything that was reported as done, in order, and nothing half done.
func TestWriteErrorEndsTheProcess(t *testing.T) {
	states := statesOf(t, testOptions(vfs.NewMem()), script(t, processSteps))
	const every = 13 // of the changes
	ended, went := 0, 0
	for n := 0; ; n += every {
		hit := false
		for _, how := range []string{"once", "on"} {
			dir := filepath.Join(t.TempDir(), "store")
			out, err := play(t.Context(), dir, fmt.Sprintf("%d %s", n, how))
			broken := strings.Contains(out, "failed ")
			hit = hit || broken
			switch {
			case err == nil && !strings.Contains(out, "played"):
				t.Errorf("change %d fails %s: the process ended well and half way:\n%s", n, how, out)
			case err != nil && !broken:
				t.Errorf("nothing failed at %d, and the process ended with %v:\n%s", n, err, out)
			case err != nil:
				ended++
			default:
				went++
			}
			checkAfter(t, dir, fmt.Sprintf("change %d fails %s", n, how), out, states)
		}
		if !hit {
			break
		}
	}
	t.Logf("%d processes ended, %d went on", ended, went)
	if ended < 10 {
		t.Errorf("%d processes ended: too few to show anything", ended)
	}
}

// play runs the script in a process of its own.
func play(ctx context.Context, dir, fails string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestProcess$", "-test.count=1")
	c.Env = append(os.Environ(), processDir+"="+dir, processFails+"="+fails)
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	err := c.Run()
	return out.String(), err
}

// checkAfter opens what a process left behind and holds it against what it said.
func checkAfter(t *testing.T, dir, what, out string, states map[string][]int) {
	t.Helper()
	started, synced := 0, 0
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		_, _ = fmt.Sscanf(lines.Text(), "starts %d", &started)
		_, _ = fmt.Sscanf(lines.Text(), "synced %d", &synced)
	}
	o := testOptions(vfs.Default)
	o.ReserveBytes, o.Logger = 1, slog.New(slog.DiscardHandler)
	o.Create = started == 0 // it may not have come so far as to make a store
	s, err := Open(dir, o)
	if err != nil {
		if started > 0 || !errors.Is(err, ErrNoVotes) {
			t.Errorf("%s: the store does not open again: %v\n%s", what, err, out)
		}
		return
	}
	after, known := states[dump(t, s)]
	if !known || !slices.ContainsFunc(after, func(n int) bool { return n >= synced && n <= started }) {
		t.Errorf("%s: the store is as after step %v; %d were synced and %d started", what, after, synced, started)
	}
	mustClose(t, s)
}
