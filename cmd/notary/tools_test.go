package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/notarynet/notaryd/client"
	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/internal/bubble"
	"github.com/notarynet/notaryd/internal/load"
	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

func TestBenchSequential(t *testing.T) {
	w := newWorld(t).withWallet()
	w.around.now = time.Now
	w.net.SetNow(func() uint64 { return uint64(time.Now().UnixMilli()) })
	var got map[string]float64
	if err := json.Unmarshal([]byte(w.want(exitOK, "bench", "--sequential", "20", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if got["n"] != 20 || got["p50_ms"] <= 0 || got["p99_ms"] < got["p50_ms"] || got["max_ms"] < got["p99_ms"] || got["min_ms"] > got["p50_ms"] {
		t.Errorf("%v", got)
	}
	if n := w.net.Calls("SubmitTransaction"); n != 20 {
		t.Errorf("%d submissions", n)
	}
	if out := w.want(exitOK, "bench", "--sequential", "3", "--histogram"); !strings.Contains(out, "3 transfers") || !strings.Contains(out, "#") {
		t.Errorf("for people: %s", out)
	}
	w.net.Set(clienttest.Faults{Stuck: true})
	w.refused(exitOpen, "WAIT_EXPIRED", "bench", "--sequential", "3", "--timeout", "200ms")
}

func TestBenchRate(t *testing.T) {
	w := newWorld(t).withWallet()
	w.around.now = time.Now
	w.net.SetNow(func() uint64 { return uint64(time.Now().UnixMilli()) })
	// More coins than one transaction can make, so that the preparation has two levels.
	var got rateView
	if err := json.Unmarshal([]byte(w.want(exitOK, "bench", "--rate", "3000", "--duration", "100ms", "--json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.N != 300 || got.Submitted != 300 || got.Failed != 0 || got.Refused != 0 || got.Rate != 3000 || got.Final <= 0 || got.P50 < 0 || got.P99 < got.P50 {
		t.Errorf("%+v", got)
	}
	for i, stage := range []summary{got.Stages.Pending, got.Stages.Accepted, got.Stages.Final, got.Stages.Proof} {
		if stage.N != 300 || stage.Max <= 0 {
			t.Errorf("%v: %+v", load.Stage(i), stage)
		}
	}
	if got.Stages.Final != got.summary {
		t.Errorf("final takes %+v and %+v", got.Stages.Final, got.summary)
	}
	// The coin for 300 transfers, 255 of it, 46 of one of those.
	if n := w.net.Calls("SubmitTransaction"); n != 3 {
		t.Errorf("%d preparing transactions, want 3", n)
	}
	out := w.want(exitOK, "bench", "--rate", "100", "--duration", "50ms", "--streams", "2", "--histogram")
	if !strings.HasPrefix(out, "5 of 5 transfers final") {
		t.Errorf("for people: %s", out)
	}
	if drawn := regexp.MustCompile(`(?m)^to (\w+):\n  < .*#$`).FindAllString(out, -1); len(drawn) != int(load.Stages) {
		t.Errorf("histograms %q in %s", drawn, out)
	}
}

// Transfers of a closed loop spend what earlier ones made, many times over. By the fake clock only answers take time.
func TestBenchMax(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t).withWallet().ticking()
		w.around.dial = append(w.around.dial, client.WithDialOptions(grpc.WithStreamInterceptor(slow(time.Millisecond))))
		var got maxView
		if err := json.Unmarshal([]byte(w.want(exitOK, "bench", "--max", "--window", "4", "--duration", "100ms", "--json")), &got); err != nil {
			t.Fatal(err)
		}
		if got.N != got.Submitted || got.N <= 4*coinsPerPlace || got.Failed != 0 || got.Window != 4 || got.Stages.Pending.N == 0 {
			t.Errorf("%+v", got)
		}
		// A coin and 16 of it: no more are needed.
		if n := w.net.Calls("SubmitTransaction"); n != 2 {
			t.Errorf("%d preparing transactions, want 2", n)
		}
	})
}

// What a load came to is said in full, also where it went badly.
func TestBenchPrints(t *testing.T) {
	stages := stagesView{Final: summary{N: 7, P50: 1, P90: 2, P99: 3, Min: 0.5, Max: 4}}
	var out strings.Builder
	rateView{loadView{stages.Final, 10, 3, 1, 6.9, stages}, 10, 0.25}.write(&out)
	maxView{loadView{stages.Final, 10, 2, 5, 3.5, stages}, 4, true, 2}.write(&out)
	table := `ms to         timed    median      90 %      99 %   fastest   slowest
pending           0       0.0       0.0       0.0       0.0       0.0
accepted          0       0.0       0.0       0.0       0.0       0.0
final             7       1.0       2.0       3.0       0.5       4.0
proof             0       0.0       0.0       0.0       0.0       0.0
`
	want := `7 of 10 transfers final, 7 a second of 10 asked for; submissions at most 0.2 ms late
1 were refused since the node had too many
2 had no good answer
` + table + `7 transfers final in 2.0 s, 4 a second with 4 under way at once
the 10 transfers signed beforehand ran out before the time was over
5 times one was refused since the node had too many, to be offered again
2 had no good answer
` + table
	if out.String() != want {
		t.Errorf("got %s\nwant %s", out.String(), want)
	}
}

// What is known when a load ends before its time is printed, and why it did. By the fake clock, time is over when nothing moves.
func TestBenchEndsEarly(t *testing.T) {
	bubble.Test(t, func(t *testing.T) {
		w := newWorld(t).withWallet().ticking()
		w.around.dial = append(w.around.dial, client.WithDialOptions(grpc.WithStreamInterceptor(stuck(w))))
		for _, args := range [][]string{{"--rate", "100"}, {"--max", "--window", "4"}} {
			args = append([]string{"bench", "--duration", "50ms", "--timeout", "700ms", "--streams", "1"}, args...)
			code, stdout, stderr := w.run(args...)
			if code != exitOpen || !strings.Contains(stdout, "transfers final") || !strings.Contains(stderr, "[WAIT_EXPIRED]") {
				t.Errorf("%v: exit code %d\n%s%s", args, code, stdout, stderr)
			}
			w.net.Set(clienttest.Faults{})
		}
	})
}

// slow is a node whose answers on streams take a while each.
func slow(each time.Duration) grpc.StreamClientInterceptor {
	return func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		s, err := open(ctx, d, c, method, opts...)
		return &slowStream{s, each}, err
	}
}

type slowStream struct {
	grpc.ClientStream
	each time.Duration
}

func (s *slowStream) RecvMsg(m any) error {
	time.Sleep(s.each)
	return s.ClientStream.RecvMsg(m)
}

// stuck lets nothing become final from the first stream of submissions on.
func stuck(w *world) grpc.StreamClientInterceptor {
	return func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
		w.net.Set(clienttest.Faults{Stuck: true})
		return open(ctx, d, c, method, opts...)
	}
}

func TestSummarize(t *testing.T) {
	var latencies []time.Duration
	for i := 100; i >= 1; i-- {
		latencies = append(latencies, time.Duration(i)*time.Millisecond)
	}
	if got := summarize(latencies); got != (summary{N: 100, P50: 50, P90: 90, P99: 99, Min: 1, Max: 100}) {
		t.Errorf("%+v", got)
	}
	if got := summarize([]time.Duration{7 * time.Millisecond}); got != (summary{N: 1, P50: 7, P90: 7, P99: 7, Min: 7, Max: 7}) {
		t.Errorf("one: %+v", got)
	}
	if got := summarize(nil); got != (summary{}) {
		t.Errorf("none: %+v", got)
	}
}

// On a terminal the weight is drawn as bars, and what is drawn is the weight.
func TestBars(t *testing.T) {
	var out bytes.Buffer
	b := newBars(&out)
	b.show(&notaryv1.TransactionStatus{PendingWeight: uint64(group.Total), AcceptedWeight: uint64(group.Total) / 4})
	b.show(&notaryv1.TransactionStatus{AcceptedWeight: uint64(group.Total) / 4}) // final, and only that is kept
	b.close()
	text := out.String()
	if !strings.Contains(text, "100.0 % quorum") || !strings.Contains(text, "25.0 %") || strings.Contains(text, "25.0 % quorum") {
		t.Errorf("drew %q", text)
	}
	var plain bytes.Buffer
	l := &lines{out: &plain}
	l.show(&notaryv1.TransactionStatus{State: notaryv1.TransactionState_TRANSACTION_STATE_FINAL, AcceptedWeight: 750_000_000, QuorumWeight: 666_666_666})
	l.show(&notaryv1.TransactionStatus{State: notaryv1.TransactionState_TRANSACTION_STATE_FINAL, AcceptedWeight: 750_000_000, QuorumWeight: 666_666_666})
	if plain.String() != "final     accepted  75.0 %, more than 66.7 % needed\n" {
		t.Errorf("wrote %q", plain.String())
	}
	w := newWorld(t).withWallet()
	w.around.terminal = true
	_, stdout, stderr := w.run("send", w.bob(), "1")
	if !strings.HasPrefix(stdout, "sent 1 coin to") || !strings.Contains(stderr, "accepted") {
		t.Errorf("%s\n%s", stdout, stderr)
	}
	w.around.now = time.Now
	w.net.SetNow(func() uint64 { return uint64(time.Now().UnixMilli()) })
	if _, _, stderr := w.run("bench", "--sequential", "2"); !strings.Contains(stderr, "of 2") {
		t.Errorf("no counter: %q", stderr)
	}
}

// The text of exit-codes is the truth about the constants.
func TestExitCodesText(t *testing.T) {
	listed := map[int]bool{}
	for _, m := range regexp.MustCompile(`(?m)^ +(\d+)  `).FindAllStringSubmatch(exitCodesText, -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil || listed[n] {
			t.Errorf("%q: %v", m[0], err)
		}
		listed[n] = true
	}
	for n := range exitRefused + 1 {
		if !listed[n] {
			t.Errorf("exit code %d is not documented", n)
		}
	}
	for c, want := range map[observation.Conclusion]int{
		observation.Valid: exitOK, observation.Invalid: exitFailed, observation.NotEnoughWeight: exitWeight, observation.NoTrustRoot: exitNoTrustRoot,
	} {
		if c.ExitCode() != want {
			t.Errorf("%v exits with %d, want %d", c, c.ExitCode(), want)
		}
	}
}

// Every command says what it is for, takes --json and --node, and has a man page.
func TestCommandsAreDocumented(t *testing.T) {
	w := newWorld(t)
	w.want(exitOK, "docs", "man", "man")
	a := &app{surroundings: w.around}
	root := a.root()
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s: short text %q", c.CommandPath(), c.Short)
		}
		for _, flag := range []string{"json", "node"} {
			if c.InheritedFlags().Lookup(flag) == nil && c.PersistentFlags().Lookup(flag) == nil {
				t.Errorf("%s has no --%s", c.CommandPath(), flag)
			}
		}
		page := filepath.Join(w.dir, "man", strings.ReplaceAll(c.CommandPath(), " ", "-")+".1")
		if _, err := os.Stat(page); err != nil && !c.Hidden && !c.IsAdditionalHelpTopicCommand() && c.Parent() != nil && !c.Parent().Hidden {
			t.Errorf("no man page: %v", err)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(root)
}

func TestCompletion(t *testing.T) {
	w := newWorld(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out := w.want(exitOK, "completion", shell); len(out) < 1000 || !strings.Contains(out, "notary") {
			t.Errorf("%s: %d bytes", shell, len(out))
		}
	}
	if out := w.want(exitOK, "__complete", "send", "--wait", ""); !strings.HasPrefix(out, "none\npending\naccepted\nfinal\n") {
		t.Errorf("levels: %s", out)
	}
	if out := w.want(exitOK, "__complete", "st"); !strings.HasPrefix(out, "stamp\t") {
		t.Errorf("commands: %s", out)
	}
}

func TestPrintable(t *testing.T) {
	if got := printable("tea\x1b[2J\u202e\u0085é\n"); got != "tea?[2J??é?" {
		t.Errorf("%q", got)
	}
}

func TestPercent(t *testing.T) {
	for weight, want := range map[uint64]string{0: "0.0 %", 250_000_000: "25.0 %", 666_666_666: "66.7 %", 1_000_000_000: "100.0 %", 400_000: "0.0 %", 500_000: "0.1 %"} {
		if got := percent(weight); got != want {
			t.Errorf("%d: %s, want %s", weight, got, want)
		}
	}
}
