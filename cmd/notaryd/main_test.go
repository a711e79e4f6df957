package main

import (
	"io"
	"path/filepath"
	"testing"
)

// TestExitCodes: 2 says that a command line cannot be meant, 1 that what it asks for failed.
func TestExitCodes(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	for _, c := range []struct {
		args []string
		want int
	}{
		{[]string{"version"}, 0},
		{[]string{"--help"}, 0},
		{[]string{"nonsense"}, 2},
		{[]string{"version", "--bad"}, 2},
		{[]string{"run"}, 2},
		{[]string{"backup", nowhere}, 2},
		{[]string{"prune", nowhere}, 2},
		{[]string{"prune", nowhere, "--older-than", "soon"}, 2},
		{[]string{"init", nowhere}, 2},
		{[]string{"init", nowhere, "--genesis", nowhere, "--cold", "--master", nowhere}, 2},
		{[]string{"init", nowhere, "--genesis", nowhere}, 1},
		{[]string{"run", nowhere}, 1},
		{[]string{"prune", nowhere, "--older-than", "2h"}, 1},
		{[]string{"doctor", nowhere}, 4},
	} {
		root := rootCommand()
		root.SetArgs(c.args)
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		if err := execute(t.Context(), root); exitOf(err) != c.want {
			t.Errorf("%v: exit code %d, want %d: %v", c.args, exitOf(err), c.want, err)
		}
	}
}
