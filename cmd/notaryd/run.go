package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strings"
	"time"

	"github.com/lmittmann/tint"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"google.golang.org/grpc/grpclog"

	"github.com/notarynet/notaryd/api"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

func runCommand() *cobra.Command {
	var settings []string
	c := &cobra.Command{
		Use:   "run DIR|FILE",
		Short: "Run a node until it is told to stop",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			config, _, err := loadConfig(configPath(args[0]), settings)
			if err != nil {
				return err
			}
			return run(cmd.Context(), config)
		},
	}
	c.Flags().StringArrayVar(&settings, "set", nil, "override a setting: key=value")
	return c
}

// run wires one node together and runs it until ctx ends.
func run(ctx context.Context, config Config) error {
	tuneProcessors()
	tuneCollector()
	level := new(slog.LevelVar)
	log, err := newLogger(config.Log, level)
	if err != nil {
		return err
	}
	slog.SetDefault(log)
	tuneHugePages(config.Memory.HugePages, log)
	grpclog.SetLoggerV2(grpclog.NewLoggerV2(io.Discard, lines{log, slog.LevelWarn}, lines{log, slog.LevelError}))
	genesis, key, err := identity(config)
	if err != nil {
		return err
	}
	master, err := masterKey(config)
	if err != nil {
		return err
	}
	st, err := openStore(config, genesis, key, false, log)
	if err != nil {
		return err
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), node.NewStoreMetrics(st))
	parts := node.Parts{
		Genesis: genesis, Key: key, Master: master, Store: st, Gossip: gossipConfig(config, genesis, key),
		GossipMetrics: gossip.NewMetrics(registry), Metrics: node.NewMetrics(registry), Log: log, Version: version,
	}
	if err := begin(ctx, config.node(), parts); err != nil {
		return errors.Join(err, st.Close())
	}
	n, err := node.New(config.node(), parts)
	if err != nil {
		return errors.Join(err, st.Close())
	}
	err = serve(ctx, config, n, level, registry, log)
	return errors.Join(err, st.Close())
}

// begin has a new store begin from a snapshot, where that is asked for and there is one. What is wrong with a snapshot is
// told and no more: the node catches up without.
func begin(ctx context.Context, c node.Config, parts node.Parts) error {
	began, err := node.Join(ctx, c, parts)
	switch {
	case errors.Is(err, store.ErrStoreFailed), ctx.Err() != nil:
		return err
	case err != nil:
		parts.Log.Warn("no snapshot to begin from: catching up from the genesis document", "err", err)
	case began == nil && c.JoinPatience > 0 && parts.Store.Fresh():
		parts.Log.Info("no snapshot to begin from: catching up from the genesis document")
	}
	return nil
}

// serve runs the node and its listeners; when one of them ends, the others are ended.
func serve(ctx context.Context, config Config, n *node.Node, level *slog.LevelVar, registry *prometheus.Registry, log *slog.Logger) error {
	public, err := net.Listen("tcp", config.API.Public)
	if err != nil {
		return fmt.Errorf("api.public: %w", err)
	}
	admin, err := api.ListenAdmin(config.API.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("api.admin: %w", err), public.Close())
	}
	metrics, err := api.NewMetrics(registry)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	server, err := api.NewServer(config.api(), api.Backends{
		Submitter: n, Reader: n, Accounts: n, Watcher: n, Describer: n, Readiness: n,
		Explainer: n, Contests: n, Archive: n, Peers: n, Evidence: n, Omissions: n, Trust: n, Simulator: n,
		Operator: operator{n, level},
	}, metrics, log)
	if err != nil {
		return errors.Join(err, public.Close(), admin.Close())
	}
	stopMetrics, err := serveMetrics(config.Metrics, registry)
	if err != nil {
		return errors.Join(fmt.Errorf("metrics.listen: %w", err), public.Close(), admin.Close())
	}
	// The node ends first, answering what waits; then the API has nothing left to wait for.
	serving, end := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() {
		err := server.Serve(serving, api.Listeners{Public: []net.Listener{public}, Admin: admin})
		n.Stop()
		served <- err
	}()
	log.Info("serving", "api", public.Addr().String(), "admin", config.API.Admin, "metrics", config.Metrics.Listen)
	err = n.Run(ctx)
	end()
	return errors.Join(err, <-served, stopMetrics())
}

// serveMetrics serves Prometheus metrics, and profiles where they are asked for; an empty address serves none.
func serveMetrics(config Metrics, registry *prometheus.Registry) (stop func() error, err error) {
	if config.Listen == "" {
		return func() error { return nil }, nil
	}
	l, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	if config.Profile {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return func() error {
		err := server.Close()
		<-done
		return err
	}, nil
}

// operator is what the admin service reaches.
type operator struct {
	*node.Node
	level *slog.LevelVar
}

// SetLogLevel sets the level and returns the one before.
func (o operator) SetLogLevel(level slog.Level) slog.Level {
	before := o.level.Level()
	o.level.Set(level)
	return before
}

// identity reads the genesis document and the node key.
func identity(config Config) (*group.Genesis, domain.PrivateKey, error) {
	b, err := os.ReadFile(config.Genesis)
	if err != nil {
		return nil, domain.PrivateKey{}, fmt.Errorf("genesis document: %w", err)
	}
	genesis, err := group.DecodeGenesis(b)
	if err != nil {
		return nil, domain.PrivateKey{}, fmt.Errorf("genesis document %s: %w", config.Genesis, err)
	}
	key, err := runtimefile.LoadKey(config.Key)
	if err != nil {
		return nil, domain.PrivateKey{}, fmt.Errorf("node key: %w", err)
	}
	return genesis, key, nil
}

// masterKey reads the master key of the node's peer; nil where it is kept elsewhere.
func masterKey(config Config) (*domain.PrivateKey, error) {
	if config.Trust.MasterKey == "" {
		return nil, nil
	}
	key, err := runtimefile.LoadKey(config.Trust.MasterKey)
	if err != nil {
		return nil, fmt.Errorf("trust.master_key: %w", err)
	}
	return &key, nil
}

// openStore opens the data directory, or makes it.
func openStore(config Config, genesis *group.Genesis, key domain.PrivateKey, create bool, log *slog.Logger) (*store.Store, error) {
	delta, err := utxo.GenesisDelta(genesis)
	if err != nil {
		return nil, err
	}
	return store.Open(config.Data, optionsOf(config, genesis, key, delta, create, log))
}

// optionsOf are those of a node's store. A new one signs in the epoch in which the genesis document counts the key.
func optionsOf(config Config, genesis *group.Genesis, key domain.PrivateKey, delta utxo.Delta, create bool, log *slog.Logger) store.Options {
	o := store.Options{
		Network: genesis.ID, Key: key.Public(), Create: create, Genesis: delta, GenesisMS: genesis.Doc.TimeMs,
		MemBytes: config.Store.MemBytes, CacheBytes: config.Store.CacheBytes, ReserveBytes: config.Store.ReserveBytes,
		Logger: log,
	}
	if i, member := genesis.Group.Voter(key.Public()); member {
		o.SigningEpoch = genesis.Group.Voters()[i].SigningEpoch
	}
	return o
}

func gossipConfig(config Config, genesis *group.Genesis, key domain.PrivateKey) gossip.Config {
	g := gossip.DefaultConfig(genesis.ID, key)
	g.Listen, g.Announce, g.Bootstrap = config.P2P.Listen, config.P2P.Announce, config.P2P.Bootstrap
	g.MDNS, g.DHT = config.P2P.MDNS, config.P2P.DHT
	return g
}

// lines writes what libraries print as lines of the log.
type lines struct {
	log   *slog.Logger
	level slog.Level
}

// Write implements io.Writer.
func (l lines) Write(b []byte) (int, error) {
	l.log.Log(context.Background(), l.level, strings.TrimSpace(string(b)), "from", "grpc")
	return len(b), nil
}

func logLevel(s string) (slog.Level, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(s)); err != nil {
		return l, fmt.Errorf("log.level must be debug, info, warn or error, not %q", s)
	}
	return l, nil
}

func newLogger(c Log, level *slog.LevelVar) (*slog.Logger, error) {
	l, err := logLevel(c.Level)
	if err != nil {
		return nil, err
	}
	level.Set(l)
	if c.Format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level})), nil
	}
	return slog.New(tint.NewTextHandler(os.Stderr, &tint.Options{
		Level: level, TimeFormat: "15:04:05.000", NoColor: !term.IsTerminal(int(os.Stderr.Fd())),
	})), nil
}
