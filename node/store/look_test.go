package store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// lookDir is what TestLookProcess is told.
const lookDir = "STORE_TEST_LOOK_DIR"

// TestLookProcess is no test but the process of TestLook: it plays the script, and holds the store until its input
// ends. Then it dies, as in a crash.
func TestLookProcess(t *testing.T) {
	dir := os.Getenv(lookDir)
	if dir == "" {
		t.Skip("run by TestLook")
	}
	s, err := Open(dir, testOptions(vfs.Default))
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, st := range script(t, processSteps) {
		if err := st.do(t, s); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	fmt.Println("holds")
	_, _ = io.Copy(io.Discard, os.Stdin) // its end is all that it says
	os.Exit(0)
}

// files are sizes, modes and times of last change.
func files(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			all += fmt.Sprintln(path, info.Size(), info.Mode(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// A store is looked into without a change: after a crash, whose log is not written into tables, and where another
// process has it open, which is not disturbed.
func TestLook(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	if _, err := Look(dir, testOptions(nil)); !errors.Is(err, ErrNoVotes) {
		t.Errorf("no store: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, errNotExist) {
		t.Errorf("something was made there: %v", err)
	}
	holder := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestLookProcess$")
	holder.Env = append(os.Environ(), lookDir+"="+dir)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "holds" {
		t.Fatalf("the process says %q: %v", lines.Text(), lines.Err())
	}
	if _, err := Look(dir, testOptions(nil)); !errors.Is(err, ErrLocked) {
		t.Errorf("held by another process: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := holder.Wait(); err != nil {
		t.Fatal(err)
	}

	before := files(t, dir)
	signing, err := Look(dir, testOptions(nil))
	if err != nil {
		t.Fatal(err)
	}
	other := testOptions(nil)
	other.Key[0] ^= 1
	if _, err := Look(dir, other); !errors.Is(err, ErrOtherKey) {
		t.Errorf("another key: %v", err)
	}
	if after := files(t, dir); after != before {
		t.Errorf("it changed\n%s\nto\n%s", before, after)
	}
	s, err := Open(dir, testOptions(vfs.Default))
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Signing(); got != signing {
		t.Errorf("looked %+v, opened %+v", signing, got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
