package e2e

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/notarynet/notaryd/client/runtimefile"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

// processes is a devnet of real processes, of which some are killed and run again.
type processes struct {
	binary  string
	dir     string
	file    *runtimefile.File
	genesis *group.Genesis
	runtime string // the runtime file
	devnet  *exec.Cmd
	again   []*exec.Cmd // by node: the process that the test started in place of the devnet's
	conns   []*grpc.ClientConn
	host    func(i int, line []string) []string // the command line that runs a node where it belongs; nil for here
}

// startProcesses builds notaryd and starts a devnet of four, with some settings.
func startProcesses(t *testing.T, settings ...string) *processes {
	t.Helper()
	dir := t.TempDir()
	p := &processes{binary: filepath.Join(dir, "notaryd"), dir: filepath.Join(dir, "net"), again: make([]*exec.Cmd, 4)}
	if out, err := exec.Command("go", "build", "-o", p.binary, "../../cmd/notaryd").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p.runtime = filepath.Join(dir, "runtime.json")
	line := []string{"devnet", "--port", "0", "--nodes", "4", "--state", p.dir}
	for _, s := range append(settings, "vote.heartbeat=1s") {
		line = append(line, "--set", s)
	}
	p.devnet = p.command(line...)
	p.devnet.Env = append(os.Environ(), runtimefile.EnvPath+"="+p.runtime)
	if err := p.devnet.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stop(t) })
	eventually(t, "the devnet to be up", func() bool {
		var err error
		p.file, err = runtimefile.Load(p.runtime)
		return err == nil
	})
	b, err := os.ReadFile(p.file.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	if p.genesis, err = group.DecodeGenesis(b); err != nil {
		t.Fatal(err)
	}
	p.connect(t)
	t.Cleanup(func() { p.tell(t) })
	return p
}

// tell says what the nodes said last, where the test has failed.
func (p *processes) tell(t *testing.T) {
	for i := range p.file.Nodes {
		if b, err := os.ReadFile(filepath.Join(p.node(i), "node.log")); err == nil && t.Failed() {
			t.Logf("%s said last:\n%s", p.file.Nodes[i].Name, b[max(0, len(b)-3000):])
		}
	}
}

// connect makes the connections to the nodes' APIs.
func (p *processes) connect(t *testing.T) {
	t.Helper()
	for _, n := range p.file.Nodes {
		conn, err := grpc.NewClient(n.API, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		p.conns = append(p.conns, conn)
	}
}

func (p *processes) command(args ...string) *exec.Cmd {
	return process(append([]string{p.binary}, args...))
}

// process is a program that ends with the test.
func process(line []string) *exec.Cmd {
	c := exec.Command(line[0], line[1:]...)
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c
}

func (p *processes) node(i int) string { return filepath.Join(p.dir, p.file.Nodes[i].Name) }

func (p *processes) client(i int) *client {
	return &client{notaryv1.NewNotaryServiceClient(p.conns[i])}
}

// pid is the process that the devnet started for a node.
func (p *processes) pid(t *testing.T, i int) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(p.node(i), "node.pid"))
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// kill ends the process of a node as the kernel does: at once, with no word to it.
func (p *processes) kill(t *testing.T, i int) {
	t.Helper()
	if c := p.again[i]; c != nil {
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.Wait() // killed
		p.again[i] = nil
		return
	}
	pid := p.pid(t, i)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the killed process to be gone", func() bool { return syscall.Kill(pid, 0) != nil })
}

// run starts a node again and waits until it is ready.
func (p *processes) run(t *testing.T, i int) {
	t.Helper()
	p.launch(t, i)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	eventually(t, fmt.Sprintf("%s to be ready again", p.file.Nodes[i].Name), func() bool {
		r, err := client.Get("http://" + p.file.Nodes[i].API + "/readyz")
		if err != nil {
			return false
		}
		r.Body.Close()
		return r.StatusCode == http.StatusOK
	})
}

// launch starts a node again.
func (p *processes) launch(t *testing.T, i int) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(p.node(i), "node.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	line := []string{p.binary, "run", p.node(i)}
	if p.host != nil {
		line = p.host(i, line)
	}
	c := process(line)
	c.Stderr = log
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	p.again[i] = c
}

// stop ends every process, gently.
func (p *processes) stop(t *testing.T) {
	for i, c := range p.again {
		if c != nil {
			_ = c.Process.Signal(syscall.SIGTERM) // it may have ended
			if err := c.Wait(); err != nil {
				t.Errorf("%s: %v", p.file.Nodes[i].Name, err)
			}
			p.again[i] = nil
		}
	}
	if p.devnet != nil {
		_ = p.devnet.Process.Signal(syscall.SIGINT)
		_ = p.devnet.Wait() // it reports the nodes that were killed
		p.devnet = nil
	}
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

// open opens the store of a node that does not run.
func (p *processes) open(t *testing.T, i int) *store.Store {
	t.Helper()
	key, err := domain.ParseHash(p.file.Nodes[i].NodeKey)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(p.node(i), "data"), store.Options{
		Network: p.genesis.ID, Key: domain.PublicKey(key), MemBytes: 4 << 20, ReserveBytes: 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatalf("%s does not open: %v", p.file.Nodes[i].Name, err)
	}
	return st
}

// TestKillNine: four processes under load; one after the other is killed with signal 9 and run again. What it had
// said was final is in its store; in the end everything that anybody said was final is so everywhere, and no chain
// holds a contradiction. Many kills are spread over several networks, as power cuts are (TestPowerLoss).
func TestKillNine(t *testing.T) {
	kills, began := often(t, "NOTARY_SOAK_KILLS", 3), time.Now()
	var all survival
	for all.cuts < kills {
		t.Run(fmt.Sprint("from ", all.cuts), func(t *testing.T) { killNine(t, min(cutsEach, kills-all.cuts), &all) })
		if t.Failed() {
			return
		}
	}
	tell(t, map[string]any{
		"run": "kill -9", "kills": all.cuts, "accepted": all.accepted, "contests": all.contests, "lost_accepted": all.lostFinals,
		"contradictory_votes": all.contradictions, "seconds": int(time.Since(began).Seconds()),
	})
}

// killNine kills the processes of one network so many times.
func killNine(t *testing.T, kills int, all *survival) {
	p := startProcesses(t)
	owner, err := runtimefile.LoadKey(p.file.FaucetKey)
	if err != nil {
		t.Fatal(err)
	}
	coins := p.genesis.Doc.Allocations
	l := newLoad(purse{p.genesis.ID, owner, len(coins), coins[0].Amount}, 8, []*client{p.client(0), p.client(1), p.client(2), p.client(3)})
	lost := 0
	for i := range kills {
		v := i % 4
		eventually(t, "load to reach the node", func() bool {
			l.mu.Lock()
			defer l.mu.Unlock()
			return len(l.said[v]) >= 20+7*(i%5)
		})
		l.lives(v, nil)
		p.kill(t, v)
		st := p.open(t, v)
		lost += l.forgotten(t, v, st)
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
		p.run(t, v)
		l.lives(v, p.client(v))
	}
	l.stop(t)
	forgotten, contradictory := p.judge(t, l)
	lost += forgotten
	all.cuts += kills
	all.accepted += len(l.final)
	all.contests += len(l.rivals)
	all.lostFinals += lost
	all.contradictions += contradictory
	if lost > 0 || contradictory > 0 {
		t.Errorf("%d accepted transactions lost, %d contradictory votes", lost, contradictory)
	}
}

// judge waits until every process holds final what any called final, ends them all, and looks into their stores.
func (p *processes) judge(t *testing.T, l *load) (lost, contradictory int) {
	t.Helper()
	p.settle(t, l.final)
	p.stop(t)
	var stores []*store.Store
	for i := range p.file.Nodes {
		st := p.open(t, i)
		defer st.Close()
		stores = append(stores, st)
		for _, tx := range l.final {
			if final, err := st.IsFinal(tx.ID); err != nil || !final {
				t.Errorf("%s: %s is final: %v, %v", p.file.Nodes[i].Name, tx.ID, final, err)
				lost++
			}
		}
		for _, pair := range l.rivals {
			a, errA := st.IsFinal(pair[0].ID)
			b, errB := st.IsFinal(pair[1].ID)
			if errA != nil || errB != nil || a && b {
				t.Errorf("%s: both rivals are final: %v, %v, %v, %v", p.file.Nodes[i].Name, a, b, errA, errB)
			}
		}
	}
	return lost, contradictions(t, p.genesis.ID, stores)
}

// settle waits until every process holds transactions final.
func (p *processes) settle(t *testing.T, txs []*utxo.Tx) {
	t.Helper()
	for i := range p.file.Nodes {
		c := p.client(i)
		for _, tx := range txs {
			eventually(t, fmt.Sprintf("%s to be final on %s", tx.ID, p.file.Nodes[i].Name), func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				r, err := c.GetTransaction(ctx, &notaryv1.GetTransactionRequest{TransactionId: tx.ID[:]})
				return err == nil && r.GetStatus().GetState() == stateFinal
			})
		}
	}
}
