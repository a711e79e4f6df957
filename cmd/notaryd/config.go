package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/structs"
	"github.com/knadh/koanf/v2"

	"github.com/notarynet/notaryd/api"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/proto/group"
)

// Config is all that an operator can set, in one TOML file, by NOTARYD_* variables or by --set. Paths
// that are not absolute are relative to the folder of the file.
type Config struct {
	// Data is the data directory.
	Data string `koanf:"data"`
	// Genesis is the file of the genesis document, Key that of the node key.
	Genesis string    `koanf:"genesis"`
	Key     string    `koanf:"key"`
	P2P     P2P       `koanf:"p2p"`
	API     API       `koanf:"api"`
	Metrics Metrics   `koanf:"metrics"`
	Vote    Vote      `koanf:"vote"`
	Trust   Trust     `koanf:"trust"`
	Limits  Limits    `koanf:"limits"`
	Fees    Fees      `koanf:"fees"`
	Store   StoreConf `koanf:"store"`
	Memory  Memory    `koanf:"memory"`
	// Snapshot is what this node has to do with snapshots.
	Snapshot Snapshot `koanf:"snapshot"`
	Log      Log      `koanf:"log"`
}

// P2P is how the node meets others: multiaddrs, those of Bootstrap with a /p2p/ part.
type P2P struct {
	Listen    []string `koanf:"listen"`
	Announce  []string `koanf:"announce"`
	Bootstrap []string `koanf:"bootstrap"`
	MDNS      bool     `koanf:"mdns"`
	DHT       bool     `koanf:"dht"`
}

// API is where clients and operators are served.
type API struct {
	// Public is host:port of gRPC and REST, Admin the path of the operator's Unix socket.
	Public string `koanf:"public"`
	Admin  string `koanf:"admin"`
	// CallsPerSecond and CallBurst bound the calls of one client.
	CallsPerSecond float64  `koanf:"calls_per_second"`
	CallBurst      int      `koanf:"call_burst"`
	CORSOrigins    []string `koanf:"cors_origins"`
}

// Metrics is host:port of the Prometheus endpoint; empty for none.
type Metrics struct {
	Listen string `koanf:"listen"`
	// Profile serves /debug/pprof/ beside the metrics: for whoever tunes a node, on a loopback address.
	Profile bool `koanf:"profile"`
}

// Vote is the rhythm of voting.
type Vote struct {
	// Listen is how long a node that starts waits for members to say what they know of its key.
	Listen        time.Duration `koanf:"listen"`
	MempoolDelay  time.Duration `koanf:"mempool_delay"`
	FlushInterval time.Duration `koanf:"flush_interval"`
	Heartbeat     time.Duration `koanf:"heartbeat"`
}

// Trust is how the node speaks for its peer, and what it warns of.
type Trust struct {
	// MasterKey is the file of the master key of the node's peer; empty where it is kept elsewhere.
	MasterKey string `koanf:"master_key"`
	// Announce has the peer's metadata list this node's key, where the master key is here.
	Announce bool `koanf:"announce"`
	// HeldBelow is the percentage of the peer's own trust below which what the group accepts is shown as held; 0 for
	// never.
	HeldBelow uint `koanf:"held_below"`
	// MarginFloor is how many peers there should be at least in every set that could harm the group.
	MarginFloor int `koanf:"margin_floor"`
}

// Limits bound what is kept in memory, and how long transactions should take before clients are refused.
type Limits struct {
	InFlight      int           `koanf:"in_flight"`
	BusyAfter     time.Duration `koanf:"busy_after"`
	Held          int           `koanf:"held"`
	HeldPerOrigin int           `koanf:"held_per_origin"`
}

// Fees is what this node asks for, in base units (1 coin is 1e9); zero asks for nothing.
type Fees struct {
	MinUnits    uint64        `koanf:"min_units"`
	UnitsPerKiB uint64        `koanf:"units_per_kib"`
	WaiveUnits  uint64        `koanf:"waive_units"`
	WaiveAge    time.Duration `koanf:"waive_age"`
}

// StoreConf bounds the store, in bytes.
type StoreConf struct {
	MemBytes     int64  `koanf:"mem_bytes"`
	CacheBytes   int64  `koanf:"cache_bytes"`
	ReserveBytes uint64 `koanf:"reserve_bytes"`
	// KeepAddresses are those of whose transactions prune keeps the proofs.
	KeepAddresses []string `koanf:"keep_addresses"`
}

// Memory is how the heap lies in memory.
type Memory struct {
	// HugePages has it lie in pages of 2 MB: always, never, or auto, where small ones are dear.
	HugePages string `koanf:"huge_pages"`
}

// Snapshot is how a new node begins, and what this one does for others that do.
type Snapshot struct {
	// Every is the interval at whose multiples a voter makes a snapshot, Settle how long after each. Members of a network
	// must use the same interval; 0 makes none.
	Every  time.Duration `koanf:"every"`
	Settle time.Duration `koanf:"settle"`
	// Join has a store that is new begin from a snapshot that a quorum vouches for.
	Join bool `koanf:"join"`
}

// Log is what is told: level debug, info, warn or error; format text or json.
type Log struct {
	Level  string `koanf:"level"`
	Format string `koanf:"format"`
}

// defaultConfig suits one node on a machine of its own.
func defaultConfig() Config {
	n, a := node.DefaultConfig(), api.DefaultConfig()
	return Config{
		Data: "data", Genesis: "genesis.bin", Key: "node.key",
		P2P:      P2P{Listen: []string{"/ip4/0.0.0.0/tcp/7700", "/ip4/0.0.0.0/udp/7700/quic-v1"}, DHT: true},
		API:      API{Public: "127.0.0.1:7701", Admin: "admin.sock", CallsPerSecond: a.Limits.CallsPerSecond, CallBurst: a.Limits.CallBurst},
		Metrics:  Metrics{Listen: "127.0.0.1:7702"},
		Vote:     Vote{Listen: n.Listen, MempoolDelay: n.MempoolDelay, FlushInterval: n.FlushInterval, Heartbeat: n.Heartbeat},
		Trust:    Trust{Announce: true, HeldBelow: uint(n.HeldBelow / (group.Total / 100)), MarginFloor: n.MarginFloor},
		Limits:   Limits{InFlight: n.MaxInFlight, BusyAfter: n.BusyAfter, Held: n.MaxHeld, HeldPerOrigin: n.MaxHeldPerOrigin},
		Store:    StoreConf{MemBytes: 256 << 20, CacheBytes: 256 << 20, ReserveBytes: 512 << 20},
		Memory:   Memory{HugePages: hugeAuto},
		Snapshot: Snapshot{Every: n.SnapshotEvery, Settle: n.SnapshotSettle},
		Log:      Log{Level: "info", Format: "text"},
	}
}

// joinPatience is how long a new node looks for a snapshot to begin from.
const joinPatience = 10 * time.Second

// envPrefix starts the variables that override the file: NOTARYD_API_PUBLIC sets api.public.
const envPrefix = "NOTARYD_"

// loadConfig reads defaults, then the file, the environment, and key=value settings, each over the one
// before. Unknown keys are errors. origin says where each key's value came from.
func loadConfig(path string, settings []string) (c Config, origin map[string]string, err error) {
	k := koanf.New(".")
	origin = make(map[string]string)
	if err := k.Load(structs.Provider(defaultConfig(), "koanf"), nil); err != nil {
		return c, nil, err
	}
	known := make(map[string]bool)
	for _, key := range k.Keys() {
		known[key], origin[key] = true, "default"
	}
	over := func(layer *koanf.Koanf, where func(key string) string) error {
		for _, key := range layer.Keys() {
			if !known[key] {
				return fmt.Errorf("%s: no setting is called %q (see notaryd config show)", where(key), key)
			}
			origin[key] = where(key)
		}
		return k.Merge(layer)
	}
	if path != "" {
		layer := koanf.New(".")
		if err := layer.Load(file.Provider(path), toml.Parser()); err != nil {
			return c, nil, fmt.Errorf("configuration %s: %w", path, err)
		}
		if err := over(layer, func(string) string { return path }); err != nil {
			return c, nil, err
		}
	}
	if err := over(fromEnv(known)); err != nil {
		return c, nil, err
	}
	layer := koanf.New(".")
	for _, s := range settings {
		key, value, ok := strings.Cut(s, "=")
		if !ok {
			return c, nil, fmt.Errorf("--set %q: want key=value", s)
		}
		if err := layer.Set(key, value); err != nil {
			return c, nil, err
		}
	}
	if err := over(layer, func(string) string { return "--set" }); err != nil {
		return c, nil, err
	}
	if err := decode(k, &c); err != nil {
		return c, nil, fmt.Errorf("configuration: %w", err)
	}
	c.resolve(filepath.Dir(path))
	return c, origin, c.Validate()
}

// fromEnv reads the variables that start with NOTARYD_. Underscores separate a section from its key.
func fromEnv(known map[string]bool) (*koanf.Koanf, func(string) string) {
	keys := make(map[string]string, len(known))
	for key := range known {
		keys[envPrefix+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))] = key
	}
	layer := koanf.New(".")
	// The provider reads no file and cannot fail.
	_ = layer.Load(env.Provider(".", env.Opt{
		Prefix: envPrefix,
		TransformFunc: func(name, value string) (string, any) {
			if key, ok := keys[name]; ok {
				return key, value
			}
			return name, value
		},
	}), nil)
	return layer, func(key string) string {
		return "environment " + envPrefix + strings.TrimPrefix(strings.ToUpper(strings.ReplaceAll(key, ".", "_")), envPrefix)
	}
}

func decode(k *koanf.Koanf, c *Config) error {
	return k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		Result: c, TagName: "koanf", WeaklyTypedInput: true, ErrorUnused: true,
		DecodeHook: mapstructure.ComposeDecodeHookFunc(
			mapstructure.StringToTimeDurationHookFunc(),
			mapstructure.StringToSliceHookFunc(","),
		),
	}})
}

// resolve makes paths absolute, seen from the folder of the file.
func (c *Config) resolve(dir string) {
	abs := func(p *string, base string) {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(base, *p)
		}
	}
	if a, err := filepath.Abs(dir); err == nil {
		dir = a
	}
	abs(&c.Data, dir)
	abs(&c.Genesis, dir)
	abs(&c.Key, dir)
	abs(&c.Trust.MasterKey, dir)
	abs(&c.API.Admin, c.Data)
}

// Validate reports what no node can run with.
func (c *Config) Validate() error {
	var errs []error
	if c.Data == "" || c.Genesis == "" || c.Key == "" {
		errs = append(errs, errors.New("data, genesis and key must be set"))
	}
	if c.API.Public == "" {
		errs = append(errs, errors.New("api.public must be set"))
	}
	if len(c.API.Admin) > 100 {
		errs = append(errs, fmt.Errorf("api.admin: a Unix socket's path has at most 100 bytes, %q has %d", c.API.Admin, len(c.API.Admin)))
	}
	if c.Trust.HeldBelow > 100 {
		errs = append(errs, fmt.Errorf("trust.held_below: at most 100 percent, not %d", c.Trust.HeldBelow))
	}
	if _, err := logLevel(c.Log.Level); err != nil {
		errs = append(errs, err)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		errs = append(errs, fmt.Errorf("log.format must be text or json, not %q", c.Log.Format))
	}
	if h := c.Memory.HugePages; h != hugeAuto && h != hugeAlways && h != hugeNever {
		errs = append(errs, fmt.Errorf("memory.huge_pages must be auto, always or never, not %q", h))
	}
	return errors.Join(append(errs, c.node().Validate(), c.api().Validate())...)
}

// node is the part that the node works by.
func (c *Config) node() node.Config {
	n := node.DefaultConfig()
	n.MempoolDelay, n.FlushInterval, n.Heartbeat, n.Listen = c.Vote.MempoolDelay, c.Vote.FlushInterval, c.Vote.Heartbeat, c.Vote.Listen
	n.BusyAfter = c.Limits.BusyAfter
	n.Announce = c.Trust.Announce
	n.HeldBelow, n.MarginFloor = group.Total/100*group.Weight(c.Trust.HeldBelow), c.Trust.MarginFloor
	n.MaxInFlight, n.MaxHeld, n.MaxHeldPerOrigin = c.Limits.InFlight, c.Limits.Held, c.Limits.HeldPerOrigin
	n.Fees.MinUnits, n.Fees.UnitsPerKiB = c.Fees.MinUnits, c.Fees.UnitsPerKiB
	n.SnapshotEvery, n.SnapshotSettle = c.Snapshot.Every, c.Snapshot.Settle
	if c.Snapshot.Join {
		n.JoinPatience = joinPatience
	}
	n.Fees.WaiveUnits, n.Fees.WaiveAgeMS = c.Fees.WaiveUnits, uint64(max(c.Fees.WaiveAge, 0).Milliseconds())
	return n
}

// api is the part that the API serves by.
func (c *Config) api() api.Config {
	a := api.DefaultConfig()
	a.Version, a.CORSOrigins = version, c.API.CORSOrigins
	a.Limits.CallsPerSecond, a.Limits.CallBurst = c.API.CallsPerSecond, c.API.CallBurst
	return a
}

// table is the configuration as key, value and origin, by key.
func (c *Config) table() (map[string]any, error) {
	k := koanf.New(".")
	if err := k.Load(structs.Provider(*c, "koanf"), nil); err != nil {
		return nil, err
	}
	return k.All(), nil
}

// writeConfig writes a TOML file that sets just the given keys.
func writeConfig(path string, set map[string]any) error {
	k := koanf.New(".")
	for key, value := range set {
		if err := k.Set(key, value); err != nil {
			return err
		}
	}
	b, err := k.Marshal(toml.Parser())
	if err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

// rewriteConfig changes keys of a file and keeps the others.
func rewriteConfig(path string, set map[string]any) error {
	k := koanf.New(".")
	if err := k.Load(file.Provider(path), toml.Parser()); err != nil {
		return err
	}
	all := k.All()
	for key, value := range set {
		all[key] = value
	}
	return writeConfig(path, all)
}

// printJSON writes a value as one JSON object, indented.
func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
