package bench

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/notarynet/notaryd/internal/load"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// TestCoinsGoRound: every transaction spends what one before it made, or a minted coin, and none twice.
func TestCoinsGoRound(t *testing.T) {
	c := &Coins{network: domain.Hash{1}}
	for i := range owners {
		c.keys = append(c.keys, domain.NewPrivateKey(domain.Hash{byte(i), byte(i >> 8)}))
		c.addrs = append(c.addrs, utxo.KeyLock(c.keys[i].Public()).Address())
	}
	live := make(map[utxo.Outpoint]int) // since which transaction
	for i := range 10 {
		at := utxo.Outpoint{Tx: c.network, Index: uint32(i)}
		c.queue = append(c.queue, coin{at: at, owner: i, amount: coinAmount})
		live[at] = -10
	}
	txs, err := c.Sign(35)
	if err != nil {
		t.Fatal(err)
	}
	for i, tx := range txs {
		since, ok := live[tx.Spends()[0]]
		if !ok {
			t.Fatalf("transaction %d spends what is not live", i)
		}
		if i-since < 10 {
			t.Errorf("transaction %d spends what %d made: coins do not rest", i, since)
		}
		if check := tx.Checks()[0]; !check.Verify() {
			t.Errorf("transaction %d is badly signed", i)
		}
		delete(live, tx.Spends()[0])
		live[utxo.Outpoint{Tx: tx.ID}] = i
	}
}

func TestCeilingsAreMeasured(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 400,000 transactions")
	}
	c, err := ceilingsFor(t.TempDir(), 4, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if c.VerifyUS <= 0 || c.HashUS <= 0 || c.DecodeUS <= 0 || c.CommitUS <= 0 {
		t.Errorf("a part costs nothing: %+v", c)
	}
}

func TestCheckFails(t *testing.T) {
	kept := Figure{Nodes: 1, Ratio: 0.5, Allocs: 100}
	for name, f := range map[string]Figure{
		"slower":      {Nodes: 1, Ratio: 0.3, Allocs: 100},
		"allocations": {Nodes: 1, Ratio: 0.5, Allocs: 120},
		"failures":    {Nodes: 1, Ratio: 0.5, Allocs: 100, Failed: 1},
	} {
		if Check(&f, &kept) == nil {
			t.Errorf("%s: passes", name)
		}
	}
	if err := Check(&Figure{Nodes: 1, Ratio: 0.45, Allocs: 105}, &kept); err != nil {
		t.Error(err)
	}
	if Check(&kept, nil) == nil {
		t.Error("passes where nothing is kept")
	}
}

func TestCheckPast(t *testing.T) {
	good := Figure{Offered: 10_000, Refused: 5000, OfPeak: 0.91, P99OfPeak: 2.9}
	if err := good.CheckPast(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Figure){
		"fewer final":   func(f *Figure) { f.OfPeak = 0.89 },
		"longer":        func(f *Figure) { f.P99OfPeak = 3.1 },
		"none refused":  func(f *Figure) { f.Refused = 0 },
		"left unserved": func(f *Figure) { f.Failed = 1 },
	} {
		f := good
		spoil(&f)
		if f.CheckPast() == nil {
			t.Errorf("%s: passes", name)
		}
	}
}

// TestPastWantsRates: nothing is passed where nothing was measured.
func TestPastWantsRates(t *testing.T) {
	if Run(t.Context(), Plan{Past: true}, func(Figure) {}) == nil {
		t.Error("passes")
	}
}

func TestFiguresAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latest.json")
	if figures, err := Load(path); err != nil || figures != nil {
		t.Fatalf("no file: %v, %v", figures, err)
	}
	want := []Figure{{Nodes: 4, Live: 7, Offered: 200, Final: 199.5}, {Nodes: 4, Live: 7, Final: 1000}}
	if err := Save(path, want); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil || len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Fatalf("%v, %v", got, err)
	}
	if f := Same(got, &Figure{Nodes: 4, Live: 7}); f == nil || f.Final != 1000 {
		t.Errorf("the closed loop is %v", f)
	}
}

func TestPercentile(t *testing.T) {
	o := Outcome{}
	for i := range 100 {
		o.Latencies = append(o.Latencies, time.Duration(100-i)*time.Millisecond)
	}
	if p50, p99 := o.Percentile(50), o.Percentile(99); p50 != 50 || p99 != 99 {
		t.Errorf("p50 %v, p99 %v", p50, p99)
	}
	if (&Outcome{}).Percentile(50) != 0 {
		t.Error("nothing has a percentile")
	}
}

// TestMeasured: what counts is the stage that transactions are timed to.
func TestMeasured(t *testing.T) {
	txs := []*utxo.Tx{{Raw: []byte("first")}, {Raw: []byte("second")}}
	out, err := measured(txs, load.Proof, func(p load.Plan) (*load.Outcome, error) {
		if len(p.Txs) != 2 || string(p.Txs[1]) != "second" || p.Stage != load.Proof {
			t.Errorf("the plan is %+v", p)
		}
		o := &load.Outcome{Refused: 1, Failed: 2, Elapsed: 500 * time.Millisecond}
		o.To[load.Final], o.To[load.Proof] = []time.Duration{1}, []time.Duration{2, 3}
		return o, nil
	})
	if err != nil || len(out.Latencies) != 2 || out.Refused != 1 || out.Failed != 2 || out.Rate() != 4 {
		t.Errorf("%+v, %v", out, err)
	}
	broken := errors.New("broken")
	if _, err := measured(txs, load.Final, func(load.Plan) (*load.Outcome, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
}
