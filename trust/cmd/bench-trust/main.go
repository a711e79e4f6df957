// Command bench-trust measures trust at scale and prints a JSON line per figure. Each size runs in a
// process of its own, so that its peak of memory is its own.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/notarynet/notaryd/trust"
)

// teleport is a, at which the targets are stated; the default of a network is larger.
const teleport = 0.1

// figure is one line of output.
type figure struct {
	Kind    string  `json:"kind"`
	Peers   int     `json:"peers"`
	Labels  int     `json:"labels"`
	Cluster int     `json:"cluster,omitempty"` // peers of a cluster, 0: none
	Seconds float64 `json:"seconds"`
	// CPU is the processor time of all cores, in seconds: what remains to be compared on a busy machine.
	CPU        float64 `json:"cpu_seconds,omitempty"`
	Iterations int     `json:"iterations"`
	Teleport   float64 `json:"a"`
	PeakMB     float64 `json:"peak_mb"`
	Cores      int     `json:"cores"`
	// Ceiling is the time that memory needs for the bytes of the same iterations, at the bandwidth
	// measured in this run; Ratio is Seconds over Ceiling.
	Ceiling float64 `json:"ceiling_seconds,omitempty"`
	Ratio   float64 `json:"ratio_to_ceiling,omitempty"`
	// ToFull is Seconds over those of the full run that it spares, and CPUToFull the same of CPU.
	ToFull    float64 `json:"ratio_to_full,omitempty"`
	CPUToFull float64 `json:"cpu_ratio_to_full,omitempty"`
	// Distance is the L1 distance from a full run to 1e-12.
	Distance float64 `json:"l1_distance,omitempty"`
	Note     string  `json:"note,omitempty"`
}

func main() {
	sizes := flag.String("peers", "1000,10000,100000,1000000", "sizes of graphs")
	labels := flag.Int("labels", 10, "labels per peer")
	clusters := flag.String("cluster", "0,1000", "peers of clusters that keep nine of ten labels to themselves; 0: labels at random")
	runs := flag.Int("runs", 7, "repetitions; figures are medians")
	child := flag.Int("child", 0, "measure one size (used by the command itself)")
	flag.Parse()
	if *child > 0 {
		size, err := strconv.Atoi(*clusters)
		check(err)
		measure(*child, *labels, size, *runs)
		return
	}
	for _, cluster := range strings.Split(*clusters, ",") {
		for _, size := range strings.Split(*sizes, ",") {
			self := exec.Command(os.Args[0], "-child", size, "-labels", strconv.Itoa(*labels), "-cluster", cluster, "-runs", strconv.Itoa(*runs))
			self.Stdout, self.Stderr = os.Stdout, os.Stderr
			if err := self.Run(); err != nil {
				fmt.Fprintln(os.Stderr, "bench-trust:", err)
				os.Exit(1)
			}
		}
	}
}

func measure(peers, labels, cluster, runs int) {
	b := &bench{runs: runs, out: json.NewEncoder(os.Stdout), peers: peers, cluster: cluster, bandwidth: bandwidth()}
	debug.FreeOSMemory()
	debug.SetGCPercent(30) // peaks of what is needed, not of what waits for the collector
	g := b.build(peers, labels, cluster)
	if cluster > 0 {
		start := time.Now()
		local, err := g.Localise()
		check(err)
		b.print(figure{Kind: "localise", Seconds: time.Since(start).Seconds()})
		g = local
	}
	b.graph = g
	s := trust.DefaultSetting()
	s.Teleport, s.Epsilon = teleport, 1e-6
	for i := range 16 {
		s.Seeds = append(s.Seeds, trust.Share{Peer: g.ID(i * (peers / 16)), Weight: 1})
	}
	b.setting = s
	b.relative()
	b.group()
}

// bench is the measurement of one size.
type bench struct {
	runs      int
	peers     int
	cluster   int
	out       *json.Encoder
	graph     *trust.Graph
	setting   trust.Setting
	bandwidth float64 // bytes a second
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func (b *bench) print(f figure) {
	f.Teleport = teleport
	f.Peers, f.Cluster, f.Cores, f.PeakMB = b.peers, b.cluster, runtime.GOMAXPROCS(0), peak()
	if b.graph != nil {
		f.Labels = b.graph.Labels()
	}
	if f.Ceiling > 0 {
		f.Ratio = f.Seconds / f.Ceiling
	}
	check(b.out.Encode(f))
}

// median runs f as often as asked and returns a figure with the medians of its times.
func (b *bench) median(f func()) figure {
	wall, cpu := make([]float64, b.runs), make([]float64, b.runs)
	for i := range wall {
		runtime.GC()
		start, spent := time.Now(), processor()
		f()
		wall[i], cpu[i] = time.Since(start).Seconds(), processor()-spent
	}
	slices.Sort(wall)
	slices.Sort(cpu)
	return figure{Seconds: wall[b.runs/2], CPU: cpu[b.runs/2]}
}

// processor is the processor time that this process has had, in seconds.
func processor() float64 {
	var r syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

func (b *bench) build(peers, labels, cluster int) *trust.Graph {
	rows := draw(peers, labels, cluster)
	start := time.Now()
	g, err := trust.FromRows(rows.ids, rows.start, rows.ratee, rows.score)
	check(err)
	b.graph = g
	b.print(figure{Kind: "build", Seconds: time.Since(start).Seconds(), Note: "matrix of positive labels by ratee, from rows by rater"})
	return g
}

func (b *bench) network() *trust.Network {
	n, err := trust.New(b.graph, b.setting)
	check(err)
	return n
}

// relative measures one peer's view (DATT), and its whole relative vector.
func (b *bench) relative() {
	n := b.network()
	at := 0
	f := b.median(func() { n.View(at % b.peers); at += b.peers/7 + 1 })
	f.Kind, f.Note = "relative", "view (DATT)"
	b.print(f)
	var t *trust.Vector
	at = 0
	f = b.median(func() {
		var err error
		t, err = n.Relative(b.graph.ID(at % b.peers))
		check(err)
		at += b.peers/7 + 1
	})
	f.Kind, f.Iterations, f.Note = "relative_vector", t.Iterations, "view, filter and EigenTrust"
	b.print(f)
}

// group measures the group vector of 16 members with one filter, alone and from labels on, and its
// repair after 100 changed labels.
func (b *bench) group() {
	n := b.network()
	mask, p := preference(n)
	var r *trust.Run
	f := b.median(func() {
		var err error
		r, err = n.Run(mask, p)
		check(err)
	})
	f.Kind, f.Iterations, f.Note = "group", r.Iterations, "EigenTrust on the averaged p"
	f.Ceiling = float64(r.Iterations) * b.bytes() / b.bandwidth
	b.print(f)
	b.incremental(mask, p, f)
	if b.peers <= 200_000 { // sixteen views of a million peers measure nothing new
		b.full()
	}
	scale := b.median(func() { flat(b.graph, p) }) // last: its matrix is large
	scale.Kind, scale.Note = "group_flat", "for scale: a plain CSR of float64, one core, matrix at hand"
	b.print(scale)
}

// full measures the group vector from labels on.
func (b *bench) full() {
	var a *trust.Aggregate
	full := b.median(func() {
		var err error
		a, err = b.network().Aggregate(b.setting.Seeds)
		check(err)
	})
	full.Kind, full.Iterations = "group_full", a.Iterations
	full.Note = fmt.Sprintf("16 members from labels on: views, filters (%d different), preferences, EigenTrust", a.Classes())
	b.print(full)
}

// incremental measures the repair of the group vector, to the precision of the full run and to a
// proven distance from the fixed point.
func (b *bench) incremental(mask []bool, p []float64, full figure) {
	s := b.setting
	s.Epsilon = 1e-9
	n, err := trust.New(b.graph, s)
	check(err)
	before, err := n.Run(mask, p)
	check(err)
	changed, added := b.changes(100)
	repair := func(kind, note string, changes []trust.Change, within float64) {
		g, err := b.graph.With(changes)
		check(err)
		s.Epsilon = 1e-12
		exact, err := trust.New(g, s)
		check(err)
		want, err := exact.Run(mask, p)
		check(err)
		var after *trust.Run
		f := b.median(func() {
			after, err = before.Update(changes, nil, within)
			check(err)
		})
		for i := range b.peers {
			f.Distance += max(want.Share(i)-after.Share(i), after.Share(i)-want.Share(i))
		}
		f.Kind, f.Iterations, f.Note = kind, after.Iterations, note
		f.ToFull, f.CPUToFull = f.Seconds/full.Seconds, f.CPU/full.CPU
		b.print(f)
	}
	repair("incremental", "100 labels with another score, same p, to the L1 change of the full run", changed, b.setting.Epsilon)
	repair("incremental_added", "100 more labels, of the highest score, likewise", added, b.setting.Epsilon)
	repair("incremental_proven", "100 labels with another score, proven within 9e-7 of the fixed point", changed, trust.Precision*s.Teleport)
}

// changes are as many labels given another score, as draw would, and as many more labels of the highest
// score, both of peers at random.
func (b *bench) changes(count int) (changed, added []trust.Change) {
	r := random(99)
	for len(changed) < count {
		i := int(r.next() % uint64(b.peers))
		ratees, _ := b.graph.Said(i)
		if len(ratees) == 0 {
			continue
		}
		to := b.graph.ID(int(ratees[r.next()%uint64(len(ratees))]))
		score := int32(1 + r.next()%trust.MaxScore)
		if r.next()%20 == 0 {
			score = -score
		}
		changed = append(changed, trust.Change{Label: trust.Label{Rater: b.graph.ID(i), Ratee: to, Score: score}})
	}
	for len(added) < count {
		i, j := int(r.next()%uint64(b.peers)), int(r.next()%uint64(b.peers))
		if i != j {
			added = append(added, trust.Change{Label: trust.Label{Rater: b.graph.ID(i), Ratee: b.graph.ID(j), Score: trust.MaxScore}})
		}
	}
	return changed, added
}

// preference is the filter of the first seed and the average p of all seeds under it.
func preference(n *trust.Network) (mask []bool, p []float64) {
	for _, s := range n.Setting().Seeds {
		i, _ := n.Graph().Find(s.Peer)
		v := n.View(i)
		if mask == nil {
			mask = n.Filter(v)
		}
		q, err := n.Preference(v, mask)
		check(err)
		if p == nil {
			p = make([]float64, len(q))
		}
		for k, x := range q {
			p[k] += x
		}
	}
	return mask, p
}

// peak is the most memory that this process has held, in MB.
func peak() float64 {
	status, err := os.ReadFile("/proc/self/status")
	if err == nil {
		lines := bufio.NewScanner(bytes.NewReader(status))
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), "VmHWM:"); ok {
				if kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64); err == nil {
					return kb / 1024
				}
			}
		}
	}
	var m runtime.MemStats // elsewhere: what the runtime took
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / (1 << 20)
}
