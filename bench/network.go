package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
)

// Network is a devnet of real processes that this run owns.
type Network struct {
	Nodes   []*client.Client
	Faucet  domain.PrivateKey
	file    *runtimefile.File
	dir     string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	pids    []int
	stopped chan error
	others  []*exec.Cmd // of nodes that run another program (swap); nil of the devnet's own
}

// Start runs `notaryd devnet` with n nodes in dir, without limits on what a client may ask and with the memory that a
// node takes where nobody says otherwise, which is more than a devnet gives it, and connects to each of them.
func Start(ctx context.Context, notaryd, dir string, n int, settings []string) (*Network, error) {
	return start(ctx, notaryd, dir, n, unlimited(settings))
}

// unlimited are the settings of Start with further ones.
func unlimited(settings []string) []string {
	return append([]string{
		"api.calls_per_second=10000000", "api.call_burst=10000000",
		fmt.Sprint("store.mem_bytes=", store.DefaultMemBytes), fmt.Sprint("store.cache_bytes=", store.DefaultCacheBytes),
	}, settings...)
}

func start(ctx context.Context, notaryd, dir string, n int, settings []string) (net *Network, err error) {
	runtime := filepath.Join(dir, "runtime.json")
	args := []string{"devnet", "--nodes", strconv.Itoa(n), "--port", "0", "--state", filepath.Join(dir, "net")}
	for _, s := range settings {
		args = append(args, "--set", s)
	}
	net = &Network{dir: filepath.Join(dir, "net"), log: new(bytes.Buffer), stopped: make(chan error, 1)}
	net.cmd = exec.Command(notaryd, args...)
	net.cmd.Env = append(os.Environ(), runtimefile.EnvPath+"="+runtime)
	net.cmd.Stderr = net.log
	net.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := net.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { net.stopped <- net.cmd.Wait() }()
	defer func() {
		if err != nil {
			err = errors.Join(err, net.Stop())
		}
	}()
	for net.file == nil {
		if net.file, err = runtimefile.Load(runtime); err != nil && !errors.Is(err, runtimefile.ErrNone) {
			return net, err
		}
		select {
		case <-ctx.Done():
			return net, ctx.Err()
		case err := <-net.stopped:
			net.stopped <- err
			return net, fmt.Errorf("the devnet ended: %w\n%s", err, net.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
	if net.Faucet, err = runtimefile.LoadKey(net.file.FaucetKey); err != nil {
		return net, err
	}
	for _, node := range net.file.Nodes {
		c, err := client.Dial(ctx, node.API)
		if err != nil {
			return net, err
		}
		net.Nodes = append(net.Nodes, c)
		pid, err := os.ReadFile(filepath.Join(net.dir, node.Name, "node.pid"))
		if err != nil {
			return net, err
		}
		p, err := strconv.Atoi(strings.TrimSpace(string(pid)))
		if err != nil {
			return net, err
		}
		net.pids = append(net.pids, p)
	}
	return net, nil
}

// Stop ends every process.
func (n *Network) Stop() error {
	var errs []error
	for _, c := range n.Nodes {
		errs = append(errs, c.Close())
	}
	errs = append(errs, n.stopOthers())
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	select {
	case <-n.stopped:
	case <-time.After(40 * time.Second):
		errs = append(errs, errors.New("the devnet did not stop and was killed"), n.cmd.Process.Kill())
	}
	return errors.Join(errs...)
}

// Usage is what the nodes of a network have used so far, all of them together.
type Usage struct {
	CPU time.Duration
	// Each is the CPU of each node.
	Each []time.Duration
	// Allocs are objects allocated on the heap.
	Allocs float64
	// WireBytes is what went out over p2p sockets, DiskBytes what was handed to the block layer.
	WireBytes, DiskBytes float64
	// PeakRSS is the most memory that any one node held, in bytes.
	PeakRSS float64
	// Finals is how many transactions each node holds final, the least of them.
	Finals float64
}

// Usage reads the counters of all nodes.
func (n *Network) Usage(ctx context.Context) (u Usage, err error) {
	u.Finals = -1
	for i, node := range n.file.Nodes {
		m, err := metrics(ctx, node.Metrics)
		if err != nil {
			return u, err
		}
		u.Allocs += m["go_memstats_mallocs_total"]
		u.WireBytes += m["notaryd_gossip_sent_bytes_total"]
		if f := m["notary_transactions_final_total"]; u.Finals < 0 || f < u.Finals {
			u.Finals = f
		}
		cpu, err := cpuOf(n.pids[i])
		if err != nil {
			return u, err
		}
		u.CPU += cpu
		u.Each = append(u.Each, cpu)
		written, err := field(fmt.Sprintf("/proc/%d/io", n.pids[i]), "write_bytes:")
		if err != nil {
			return u, err
		}
		u.DiskBytes += written
		rss, err := field(fmt.Sprintf("/proc/%d/status", n.pids[i]), "VmHWM:")
		if err != nil {
			return u, err
		}
		u.PeakRSS = max(u.PeakRSS, rss*1024)
	}
	return u, nil
}

// minus is what was used between two readings.
func (u Usage) minus(before Usage) Usage {
	each := make([]time.Duration, len(u.Each))
	for i := range each {
		each[i] = u.Each[i] - before.Each[i]
	}
	return Usage{
		Each: each, CPU: u.CPU - before.CPU, Allocs: u.Allocs - before.Allocs, WireBytes: u.WireBytes - before.WireBytes,
		DiskBytes: u.DiskBytes - before.DiskBytes, PeakRSS: u.PeakRSS, Finals: u.Finals - before.Finals,
	}
}

// cpuOf is the processor time of a process (proc(5)), in ticks of 10 ms.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, fmt.Errorf("bench: /proc/%d/stat is not what it was", pid)
	}
	var ticks int
	for _, f := range fields[11:13] {
		n, err := strconv.Atoi(f)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// field is the first number of a line of a file that begins with a name.
func field(path, name string) (float64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok && len(strings.Fields(rest)) > 0 {
			return strconv.ParseFloat(strings.Fields(rest)[0], 64)
		}
	}
	return 0, fmt.Errorf("bench: no %s in %s", name, path)
}

// metrics reads a node's counters, those with labels summed over them.
func metrics(ctx context.Context, address string) (map[string]float64, error) {
	b, err := get(ctx, "http://"+address+"/metrics")
	if err != nil {
		return nil, err
	}
	sums := make(map[string]float64)
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		line := lines.Text()
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || line[0] == '#' {
			continue
		}
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("bench: metrics of %s: %w", address, err)
		}
		name, _, _ := strings.Cut(line[:at], "{")
		sums[name] += value
	}
	return sums, lines.Err()
}

// peers are the addresses at which the nodes hear each other, as their configuration says.
func (n *Network) peers() ([]string, error) {
	b, err := os.ReadFile(filepath.Join(n.dir, n.file.Nodes[0].Name, "notaryd.toml"))
	if err != nil {
		return nil, err
	}
	var config struct {
		P2P struct {
			Bootstrap []string `toml:"bootstrap"`
		} `toml:"p2p"`
	}
	if err := toml.Unmarshal(b, &config); err != nil {
		return nil, err
	}
	return config.P2P.Bootstrap, nil
}
