package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func writeFile(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreValid(t *testing.T) {
	c, origin, err := loadConfig("", nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Vote.MempoolDelay != 5*time.Millisecond || c.API.Public != "127.0.0.1:7701" {
		t.Errorf("defaults are %+v", c)
	}
	for key, from := range origin {
		if from != "default" {
			t.Errorf("%s comes from %s", key, from)
		}
	}
}

// Each layer overrides the one before, and every value says where it came from.
func TestLayers(t *testing.T) {
	dir := t.TempDir()
	path := writeFile(t, dir, "notaryd.toml", `
data = "d"
[vote]
mempool_delay = "7ms"
flush_interval = "20ms"
heartbeat = "3s"
[p2p]
bootstrap = ["/ip4/127.0.0.1/tcp/1/p2p/x"]
`)
	t.Setenv("NOTARYD_VOTE_FLUSH_INTERVAL", "30ms")
	t.Setenv("NOTARYD_VOTE_HEARTBEAT", "4s")
	t.Setenv("NOTARYD_API_CORS_ORIGINS", "https://a.example,https://b.example")
	c, origin, err := loadConfig(path, []string{"vote.heartbeat=6s", "limits.in_flight=5"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Vote != (Vote{10 * time.Second, 7 * time.Millisecond, 30 * time.Millisecond, 6 * time.Second}) {
		t.Errorf("vote is %+v", c.Vote)
	}
	if c.Limits.InFlight != 5 || len(c.P2P.Bootstrap) != 1 || len(c.API.CORSOrigins) != 2 {
		t.Errorf("configuration is %+v", c)
	}
	if c.Data != filepath.Join(dir, "d") || c.API.Admin != filepath.Join(dir, "d", "admin.sock") {
		t.Errorf("paths are %s and %s", c.Data, c.API.Admin)
	}
	for key, want := range map[string]string{
		"vote.mempool_delay": path, "vote.flush_interval": "environment NOTARYD_VOTE_FLUSH_INTERVAL",
		"vote.heartbeat": "--set", "store.mem_bytes": "default",
	} {
		if origin[key] != want {
			t.Errorf("%s comes from %q, want %q", key, origin[key], want)
		}
	}
}

func TestRefusedConfigurations(t *testing.T) {
	for name, c := range map[string]struct {
		file     string
		settings []string
		env      [2]string
		want     string
	}{
		"unknown key in the file":    {file: "[vote]\nmempool_dely = \"5ms\"", want: `no setting is called "vote.mempool_dely"`},
		"unknown key in a setting":   {settings: []string{"api.pubic=x"}, want: `no setting is called "api.pubic"`},
		"unknown variable":           {env: [2]string{"NOTARYD_API_PUBIC", "x"}, want: "no setting is called"},
		"setting without a value":    {settings: []string{"api.public"}, want: "want key=value"},
		"not TOML":                   {file: "[vote", want: "configuration"},
		"duration that is none":      {settings: []string{"vote.mempool_delay=soon"}, want: "duration"},
		"heartbeat below its bound":  {settings: []string{"vote.heartbeat=1ms"}, want: "heartbeat must be at least 1s"},
		"log level":                  {settings: []string{"log.level=loud"}, want: "log.level"},
		"log format":                 {settings: []string{"log.format=xml"}, want: "log.format"},
		"huge pages":                 {settings: []string{"memory.huge_pages=yes"}, want: "memory.huge_pages must be auto, always or never"},
		"no public address":          {settings: []string{"api.public="}, want: "api.public must be set"},
		"socket path too long":       {settings: []string{"api.admin=/" + strings.Repeat("x", 120)}, want: "at most 100 bytes"},
		"held below held per origin": {settings: []string{"limits.held=1"}, want: "max_held"},
		"rate of zero":               {settings: []string{"api.calls_per_second=0"}, want: "calls_per_second"},
	} {
		t.Run(name, func(t *testing.T) {
			path := ""
			if c.file != "" {
				path = writeFile(t, t.TempDir(), "notaryd.toml", c.file)
			}
			if c.env[0] != "" {
				t.Setenv(c.env[0], c.env[1])
			}
			_, _, err := loadConfig(path, c.settings)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q in it", err, c.want)
			}
		})
	}
}

// What is written is read back, and keys that are not named keep their values.
func TestRewriteKeepsTheRest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notaryd.toml")
	if err := writeConfig(path, map[string]any{"vote.heartbeat": "7s", "p2p.listen": []string{"/ip4/127.0.0.1/tcp/1"}}); err != nil {
		t.Fatal(err)
	}
	if err := rewriteConfig(path, map[string]any{"api.public": "127.0.0.1:1"}); err != nil {
		t.Fatal(err)
	}
	c, _, err := loadConfig(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Vote.Heartbeat != 7*time.Second || c.API.Public != "127.0.0.1:1" || len(c.P2P.Listen) != 1 {
		t.Errorf("read back %+v", c)
	}
}
