package main

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// found is the finding of a check.
func found(t *testing.T, list []finding, check string) finding {
	t.Helper()
	for _, f := range list {
		if f.Check == check {
			return f
		}
	}
	t.Fatalf("no finding about %s in %+v", check, list)
	return finding{}
}

// files are the size and the time of the last change of all files below a directory, and of the directories.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.Walk(dir, func(path string, info os.FileInfo, err error) error {
		if err == nil {
			all[path] = fmt.Sprint(info.Size(), info.Mode(), info.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// What is wrong with a node that does not run is named, with its fix; nothing of it is changed.
func TestDoctor(t *testing.T) {
	g, key := testNetwork(t)
	for name, c := range map[string]struct {
		harm               func(t *testing.T, dir string, config Config)
		check, state, says string
		fix                string
	}{
		"nothing": {func(*testing.T, string, Config) {}, "store", fine, "signs in epoch 0", ""},
		"a key that others may read": {func(t *testing.T, _ string, c Config) {
			if err := os.Chmod(c.Key, 0o644); err != nil {
				t.Fatal(err)
			}
		}, "key", problem, "may be read by others", "chmod 600"},
		"no key": {func(t *testing.T, _ string, c Config) {
			if err := os.Remove(c.Key); err != nil {
				t.Fatal(err)
			}
		}, "key", problem, "node key", "notaryd init"},
		"no store": {func(t *testing.T, _ string, c Config) {
			if err := os.RemoveAll(c.Data); err != nil {
				t.Fatal(err)
			}
		}, "store", problem, "missing", "--lost"},
		"a backup in place of the store": {func(t *testing.T, dir string, c Config) {
			to := filepath.Join(dir, "backup")
			if _, err := backup(t.Context(), c, to); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.RemoveAll(c.Data), os.Rename(to, c.Data)); err != nil {
				t.Fatal(err)
			}
		}, "store", problem, "not restored", "notaryd restore"},
		"a restored store": {func(t *testing.T, _ string, c Config) {
			if err := restore(c, restoreOptions{renew: true}, 1234, 1); err != nil {
				t.Fatal(err)
			}
		}, "store", warning, "signs in epoch 1234", "--signing-epoch 1234"},
		"an unknown setting": {func(t *testing.T, dir string, _ Config) {
			writeFile(t, dir, configName, "[vote]\nlissen = \"5s\"")
		}, "configuration", problem, "vote.lissen", "config show"},
		"too little room": {func(t *testing.T, dir string, _ Config) {
			writeFile(t, dir, configName, "[store]\nreserve_bytes = 1000000000000000000")
		}, "disk", problem, "does not vote", "prune"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "node")
			if err := initNode(dir, g, key, map[string]any{"api.public": "127.0.0.1:0", "metrics.listen": "", "store.reserve_bytes": 1}); err != nil {
				t.Fatal(err)
			}
			config, _, err := loadConfig(configPath(dir), nil)
			if err != nil {
				t.Fatal(err)
			}
			c.harm(t, dir, config)
			before := files(t, dir)
			list := examine(t.Context(), configPath(dir))
			if after := files(t, dir); !maps.Equal(before, after) {
				t.Errorf("it changed the node:\n%v\n%v", before, after)
			}
			f := found(t, list, c.check)
			if f.State != c.state || !strings.Contains(f.Detail, c.says) || !strings.Contains(f.Fix, c.fix) || c.fix == "" && f.Fix != "" {
				t.Errorf("%+v", f)
			}
			want := exitWarnings // it does not run
			if c.state == problem {
				want = exitProblems
			}
			if got := verdictOf(list); got != want {
				t.Errorf("exit code %v, want %d: %+v", got, want, list)
			}
			var b bytes.Buffer
			if printFindings(&b, list); !strings.Contains(b.String(), f.Detail) || f.Fix != "" && !strings.Contains(b.String(), "mend: "+f.Fix) {
				t.Errorf("printed\n%s", &b)
			}
		})
	}
}

func TestDoctorJudges(t *testing.T) {
	s := time.Second
	for name, c := range map[string]struct {
		offsets []time.Duration
		state   string
	}{
		"nobody": {nil, skipped}, "heartbeats": {[]time.Duration{-5 * s, -s, 0}, fine},
		"behind": {[]time.Duration{60 * s, 58 * s, -s}, problem}, "ahead": {[]time.Duration{-86400 * s, -86401 * s}, problem},
		"one peer is off": {[]time.Duration{-s, -2 * s, 9999 * s}, fine},
	} {
		if f := judgeClock(c.offsets); f.State != c.state || (c.state == problem) != (f.Fix != "") {
			t.Errorf("%s: %+v", name, f)
		}
	}
	for weight, state := range map[group.Weight]string{group.Total: fine, group.Total / 2: problem} {
		if f := checkPeers(&notaryv1.GetNetworkResponse{OnlineWeight: uint64(weight), ConnectedPeers: 3}); f.State != state {
			t.Errorf("with %d of the weight: %+v", weight, f)
		}
	}
	dir := t.TempDir()
	quic := Config{P2P: P2P{Listen: []string{"/ip4/0.0.0.0/udp/7700/quic-v1"}}}
	for size, state := range map[string]string{"212992\n": warning, "7500000\n": fine, "many\n": skipped} {
		writeFile(t, dir, "rmem_max", size)
		writeFile(t, dir, "wmem_max", size)
		if f := checkBuffers(quic, dir); f.State != state {
			t.Errorf("buffers of %q: %+v", size, f)
		}
	}
	if f := checkBuffers(Config{}, dir); f.State != skipped {
		t.Errorf("without QUIC: %+v", f)
	}
	everywhere := Config{P2P: P2P{Listen: []string{"/ip4/0.0.0.0/tcp/7700"}}}
	for peers, state := range map[uint32]string{0: problem, 3: warning} {
		if f := checkReach(everywhere, &notaryv1.GetNetworkResponse{ConnectedPeers: peers}); f.State != state {
			t.Errorf("with %d peers: %+v", peers, f)
		}
	}
	for _, said := range []string{"a backup that was not restored", "names signing epoch 7", "contradicted itself", "no room on disk", "listening before"} {
		if readyFix([]string{said}) == readyFix(nil) {
			t.Errorf("no fix for %q", said)
		}
	}
}
