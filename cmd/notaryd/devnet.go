package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node/gossip"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// devnetOptions are the flags of `notaryd devnet`.
type devnetOptions struct {
	nodes    int
	port     int
	state    string
	keep     bool
	settings []string
}

func devnetCommand() *cobra.Command {
	o := devnetOptions{}
	c := &cobra.Command{
		Use:   "devnet",
		Short: "A whole network of real processes on this machine",
		Long: `devnet makes a genesis with equal weights, starts the nodes as processes of their own on
loopback, and writes a runtime file that notary finds without flags. Ctrl-C stops everything; without
--state or --keep nothing is left behind.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return devnet(cmd.Context(), cmd.OutOrStdout(), o) },
	}
	c.AddCommand(joinCommand())
	c.Flags().IntVar(&o.nodes, "nodes", 4, "number of nodes")
	c.Flags().IntVar(&o.port, "port", 7700, "first port: p2p, then for node i: API at port+1+10i, metrics at port+2+10i; 0 takes free ones")
	c.Flags().StringVar(&o.state, "state", "", "folder of the network; made when it is not there, taken up again when it is")
	c.Flags().BoolVar(&o.keep, "keep", false, "keep the folder of the network at the end")
	c.Flags().StringArrayVar(&o.settings, "set", nil, "setting for every node: key=value")
	return c
}

// devnetNode is one process.
type devnetNode struct {
	dir    string
	name   string
	key    domain.PrivateKey
	master domain.PrivateKey
	p2p    int
	api    int
	metric int
}

// devnet makes or takes up a network, runs it until ctx ends, and clears up.
func devnet(ctx context.Context, out io.Writer, o devnetOptions) (err error) {
	if o.nodes < 1 || o.nodes > 64 {
		return usageError{fmt.Errorf("--nodes must lie in 1..64, not %d", o.nodes)}
	}
	started := time.Now()
	dir := o.state
	if dir == "" {
		if dir, err = os.MkdirTemp("", "notary-devnet-"); err != nil {
			return err
		}
		if !o.keep {
			defer os.RemoveAll(dir)
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	genesis, nodes, err := devnetState(dir, o)
	if err != nil {
		return err
	}
	runtime, err := runtimefile.Path()
	if err != nil {
		return err
	}
	if other, err := runtimefile.Load(runtime); err == nil && alive(other.PID) && other.PID != os.Getpid() {
		return fmt.Errorf("a devnet (process %d) runs already, says %s; set NOTARY_RUNTIME to run another", other.PID, runtime)
	}
	crew := &crew{}
	defer func() { err = errors.Join(err, crew.stop()) }()
	for _, n := range nodes {
		if err := crew.start(n, o.settings); err != nil {
			return err
		}
	}
	if err := ready(ctx, nodes, crew); err != nil {
		return err
	}
	file := runtimefile.File{
		Version: runtimefile.Version, NetworkID: genesis.ID.String(), Name: genesis.Doc.Name,
		AddressPrefix: genesis.Doc.AddressPrefix, Genesis: filepath.Join(dir, "genesis.bin"),
		FaucetKey: filepath.Join(dir, "faucet.key"), StartedMS: uint64(time.Now().UnixMilli()), PID: os.Getpid(),
	}
	for _, n := range nodes {
		file.Nodes = append(file.Nodes, runtimefile.Node{
			Name: n.name, NodeKey: n.key.Public().String(), API: n.address(n.api),
			Admin: filepath.Join(n.dir, "data", "admin.sock"), Metrics: n.address(n.metric),
		})
	}
	if err := runtimefile.Save(runtime, &file); err != nil {
		return err
	}
	defer os.Remove(runtime)
	fmt.Fprintf(out, "devnet of %d nodes is up after %.1f s\n\n", len(nodes), time.Since(started).Seconds())
	fmt.Fprintf(out, "  network   %s\n  state     %s\n  runtime   %s\n", genesis.ID, dir, runtime)
	for _, n := range nodes {
		fmt.Fprintf(out, "  %-8s  gRPC and REST %s   metrics %s\n", n.name, n.address(n.api), n.address(n.metric))
	}
	fmt.Fprintf(out, "\ntry:  notary wallet new   notary faucet   notary balance   notary stamp README.md\nCtrl-C stops it.\n")
	return crew.wait(ctx)
}

func (n *devnetNode) address(port int) string { return loopback(port) }

// devnetState makes the folder of a network, or reads it back.
func devnetState(dir string, o devnetOptions) (*group.Genesis, []*devnetNode, error) {
	path := filepath.Join(dir, "genesis.bin")
	b, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return makeDevnet(dir, o)
	case err != nil:
		return nil, nil, err
	}
	genesis, err := group.DecodeGenesis(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	nodes := make([]*devnetNode, len(genesis.Group.Voters()))
	for i := range nodes {
		n := &devnetNode{name: fmt.Sprintf("node%d", i+1), dir: filepath.Join(dir, fmt.Sprintf("node%d", i+1))}
		if n.key, err = runtimefile.LoadKey(filepath.Join(n.dir, "node.key")); err != nil {
			return nil, nil, err
		}
		nodes[i] = n
	}
	return genesis, nodes, givePorts(nodes, genesis, o.port)
}

func makeDevnet(dir string, o devnetOptions) (*group.Genesis, []*devnetNode, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, err
	}
	faucet, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	if err := runtimefile.SaveKey(filepath.Join(dir, "faucet.key"), faucet); err != nil {
		return nil, nil, err
	}
	nodes := make([]*devnetNode, o.nodes)
	for i := range nodes {
		n := &devnetNode{name: fmt.Sprintf("node%d", i+1), dir: filepath.Join(dir, fmt.Sprintf("node%d", i+1))}
		if n.key, err = newKey(); err != nil {
			return nil, nil, err
		}
		if n.master, err = newKey(); err != nil {
			return nil, nil, err
		}
		nodes[i] = n
	}
	genesis, err := devnetGenesis(nodes, faucet.Public())
	if err != nil {
		return nil, nil, err
	}
	var making sync.WaitGroup
	failed := make([]error, len(nodes))
	for i, n := range nodes {
		making.Go(func() {
			settings := devnetSettings()
			settings["trust.announce"] = false // the genesis document lists their keys
			failed[i] = initNode(n.dir, genesis, n.key, settings)
			if failed[i] == nil {
				failed[i] = runtimefile.SaveKey(filepath.Join(n.dir, masterName), n.master)
			}
		})
	}
	making.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "genesis.bin"), genesis.Bytes, 0o644); err != nil {
		return nil, nil, err
	}
	return genesis, nodes, givePorts(nodes, genesis, o.port)
}

// devnetSettings are those of every node of a devnet.
func devnetSettings() map[string]any {
	return map[string]any{
		"p2p.dht": false, "p2p.listen": []string{}, "p2p.bootstrap": []string{},
		"store.mem_bytes": 64 << 20, "store.cache_bytes": 64 << 20, "store.reserve_bytes": 64 << 20,
		"api.calls_per_second": 100_000, "api.call_burst": 100_000,
		"log.format": "text", "trust.master_key": masterName,
	}
}

// givePorts finds ports for every node and checks that they are free, so that a taken one is named
// before anything starts.
func givePorts(nodes []*devnetNode, _ *group.Genesis, first int) error {
	if err := takePorts(nodes, first); err != nil {
		return err
	}
	var bootstrap []string
	for _, n := range nodes {
		bootstrap = append(bootstrap, fmt.Sprintf("/ip4/127.0.0.1/tcp/%d/p2p/%s", n.p2p, gossip.PeerID(n.key.Public())))
	}
	for _, n := range nodes {
		path := filepath.Join(n.dir, configName)
		if err := rewriteConfig(path, map[string]any{
			"p2p.listen": []string{fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", n.p2p)}, "p2p.bootstrap": bootstrap,
			"api.public": n.address(n.api), "metrics.listen": n.address(n.metric),
		}); err != nil {
			return err
		}
	}
	return nil
}

// crew is the running processes.
type crew struct {
	procs []*proc
}

type proc struct {
	node *devnetNode
	cmd  *exec.Cmd
	log  *os.File
	done chan struct{}
	err  error
}

// start runs this program as a node. Its log goes to a file in its folder.
func (c *crew) start(n *devnetNode, settings []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(n.dir, "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	args := []string{"run", n.dir}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	cmd := exec.Command(self, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return errors.Join(err, log.Close())
	}
	p := &proc{node: n, cmd: cmd, log: log, done: make(chan struct{})}
	c.procs = append(c.procs, p)
	if err := os.WriteFile(filepath.Join(n.dir, "node.pid"), fmt.Appendln(nil, cmd.Process.Pid), 0o644); err != nil {
		return err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return nil
}

// wait returns when ctx ends or a process does.
func (c *crew) wait(ctx context.Context) error {
	ended := make(chan *proc, len(c.procs))
	for _, p := range c.procs {
		go func() {
			<-p.done
			ended <- p
		}()
	}
	for left := len(c.procs); left > 0; left-- {
		select {
		case <-ctx.Done():
			return nil
		case p := <-ended:
			// A node that somebody stops on purpose is part of what a devnet is for; the rest goes on.
			fmt.Fprintf(os.Stderr, "%s has ended (%v); its log is %s\n", p.node.name, p.err, p.log.Name())
		}
	}
	return errors.New("every node has ended")
}

// stopPatience is how long a process may take to stop before it is killed.
const stopPatience = 15 * time.Second

// stop asks all processes to end, and kills those that do not.
func (c *crew) stop() error {
	for _, p := range c.procs {
		_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	}
	deadline := time.After(stopPatience)
	var errs []error
	for _, p := range c.procs {
		select {
		case <-p.done:
		case <-deadline:
			errs = append(errs, fmt.Errorf("%s did not stop within %v and was killed", p.node.name, stopPatience), p.cmd.Process.Kill())
			<-p.done
		}
		errs = append(errs, p.log.Close())
	}
	return errors.Join(errs...)
}

// ready waits until every node is ready and sees all others.
func ready(ctx context.Context, nodes []*devnetNode, c *crew) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for i, n := range nodes {
		for {
			if up(ctx, n, len(nodes)-1) {
				break
			}
			select {
			case <-c.procs[i].done:
				return fmt.Errorf("%s ended while starting: %w\n%s", n.name, c.procs[i].err, tail(c.procs[i].log.Name()))
			case <-ctx.Done():
				return fmt.Errorf("%s is not ready: %w; its log is %s", n.name, ctx.Err(), c.procs[i].log.Name())
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	return nil
}

func up(ctx context.Context, n *devnetNode, peers int) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+n.address(n.api)+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return false
	}
	info, err := networkOf(ctx, n.address(n.api))
	return err == nil && int(info.ConnectedPeers) >= peers
}

// tail is the end of a log.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}

func alive(pid int) bool { return pid > 0 && syscall.Kill(pid, 0) == nil }
