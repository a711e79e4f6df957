package main

import (
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.yaml.in/yaml/v3"

	"github.com/notarynet/notaryd/api"
	"github.com/notarynet/notaryd/node"
	"github.com/notarynet/notaryd/node/gossip"
)

// names collects the names of all metrics that are registered, also of those that have no value yet.
type names struct{ list []string }

var fqName = regexp.MustCompile(`fqName: "([^"]+)"`)

// Register implements prometheus.Registerer.
func (n *names) Register(c prometheus.Collector) error {
	ch := make(chan *prometheus.Desc, 256)
	go func() {
		c.Describe(ch)
		close(ch)
	}()
	for d := range ch {
		n.list = append(n.list, fqName.FindStringSubmatch(d.String())[1])
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (n *names) MustRegister(cs ...prometheus.Collector) {
	for _, c := range cs {
		_ = n.Register(c)
	}
}

// Unregister implements prometheus.Registerer.
func (n *names) Unregister(prometheus.Collector) bool { return false }

// everyMetric is what a node registers.
func everyMetric(t *testing.T) []string {
	t.Helper()
	config, g, key := newNode(t)
	st, err := openStore(config, g, key, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	n := &names{list: []string{"up"}}
	n.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), node.NewStoreMetrics(st))
	gossip.NewMetrics(n)
	node.NewMetrics(n)
	if _, err := api.NewMetrics(n); err != nil {
		t.Fatal(err)
	}
	return n.list
}

var metricName = regexp.MustCompile(`\b(?:notary|process|go)_[a-z0-9_]+\b`)

// checkExpr holds the metrics in an expression against those that exist.
func checkExpr(t *testing.T, where, expr string, known []string) {
	t.Helper()
	found := metricName.FindAllString(expr, -1)
	if len(found) == 0 && !strings.Contains(expr, "up{") {
		t.Errorf("%s: no metric in %q", where, expr)
	}
	for _, name := range found {
		base := name
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base = strings.TrimSuffix(base, suffix)
		}
		if !slices.Contains(known, name) && !slices.Contains(known, base) {
			t.Errorf("%s: no metric is called %s", where, name)
		}
	}
}

// Every metric that alerts and dashboard name exists, and both are what Prometheus and Grafana read.
func TestDeploy(t *testing.T) {
	known := everyMetric(t)
	b, err := os.ReadFile("../../deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	if err := yaml.Unmarshal(b, &rules); err != nil {
		t.Fatal(err)
	}
	alerts := 0
	for _, g := range rules.Groups {
		for _, r := range g.Rules {
			alerts++
			checkExpr(t, r.Alert, r.Expr, known)
			if r.Alert == "" || r.Labels["severity"] == "" || r.Annotations["summary"] == "" || r.Annotations["action"] == "" {
				t.Errorf("alert %+v says too little", r)
			}
		}
	}
	b, err = os.ReadFile("../../deploy/dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(b, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			checkExpr(t, p.Title, target.Expr, known)
		}
	}
	if alerts < 8 || len(board.Panels) < 8 {
		t.Errorf("%d alerts, %d panels", alerts, len(board.Panels))
	}
	// The check can fail.
	if slices.Contains(known, "notary_nothing") {
		t.Error("a metric that does not exist is known")
	}
}

// systemd reads the unit, where there is a systemd to ask.
func TestUnit(t *testing.T) {
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze on this machine")
	}
	out, err := exec.Command(verify, "verify", "--recursive-errors=no", "../../deploy/notaryd.service").CombinedOutput()
	if strings.Contains(string(out), "Unknown") {
		t.Errorf("%v\n%s", err, out)
	}
}
