package growth

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/utxo"
)

// Plan is what a group is measured with.
type Plan struct {
	Peers int
	// Rate is transactions a second that the network finalises, Flush how often each node says something: together
	// they are how many transactions a flush speaks of.
	Rate  int
	Flush time.Duration
	// Transactions is how many are measured.
	Transactions int
	// Proofs is how many acceptance proofs are made, and Compact how many compact ones; the forms of keeping are
	// measured where both are above 0.
	Proofs, Compact int
	// Dir is a directory on the disk that is meant, in which the store is made.
	Dir string
}

// perFlush is how many transactions a flush speaks of, with PENDING and with ACCEPTED.
func (p *Plan) perFlush() int { return max(1, int(float64(p.Rate)*p.Flush.Seconds()+0.5)) }

// Together is how much node's verifier and observer take at once.
type Together struct {
	Signatures   int `json:"signatures"`
	Observations int `json:"observations"`
}

// row is how many observations a node signs at once.
func (p *Plan) row() int {
	var row observation.Row
	for range p.perFlush() {
		row.Add(observation.Leaf{State: observation.Pending})
		row.Add(observation.Leaf{State: observation.Accepted})
	}
	return len(row.Pieces(observation.PieceLeaves(p.Peers), observation.MaxLeaves))
}

// together follows node's verifier: where signatures come faster than every half millisecond they wait 3 ms for company, up to
// 512 of them; else those of one message are taken alone.
func (p *Plan) together() Together {
	row := p.row()
	observations := float64(row*(p.Peers-1)) / float64(max(p.Flush.Milliseconds(), 1))
	signatures := float64(p.Rate)/1000 + observations
	if signatures < 2 {
		return Together{Signatures: row, Observations: row}
	}
	return Together{Signatures: min(512, int(3*signatures+0.5)), Observations: max(row, int(3*observations+0.5))}
}

// Group is what a transaction costs one node of a group. Times are microseconds of processor, sizes bytes, both for one
// transaction.
type Group struct {
	Kind     string   `json:"kind"` // "group"
	Peers    int      `json:"peers"`
	Rate     int      `json:"tx_per_s"`
	FlushMS  float64  `json:"flush_ms"`
	PerFlush int      `json:"tx_per_observation"`
	Measured int      `json:"transactions"`
	Together Together `json:"together"`

	CPU    float64            `json:"cpu_us"`
	Parts  map[string]float64 `json:"parts_us"`
	Allocs float64            `json:"allocs"`
	// Votes are leaves on transactions that were counted, Leaves all that were heard, Signatures those verified.
	Votes      float64 `json:"votes"`
	Leaves     float64 `json:"leaves"`
	Signatures float64 `json:"signatures"`

	// WireTx and WireObs are what comes in, once each: the transaction and the observations of all others. WireOwn is
	// the node's own observation, which goes out.
	WireTx  float64 `json:"wire_tx"`
	WireObs float64 `json:"wire_observations"`
	WireOwn float64 `json:"wire_own"`
	// Disk is what is on disk in the end, by class of record, Total all of it with what tables add; Written all that
	// was written on the way, the log included.
	Disk    map[string]float64 `json:"disk"`
	Total   float64            `json:"disk_total"`
	Written float64            `json:"written"`
	// CommitP50 and CommitP99 are milliseconds of a synced write of finals.
	CommitP50 float64 `json:"commit_p50_ms"`
	CommitP99 float64 `json:"commit_p99_ms"`

	Proofs *Proofs `json:"proofs,omitempty"`
	Forms  *Forms  `json:"forms,omitempty"`
}

// script is what comes to the member, round by round.
type script struct {
	txs, observations [][][]byte
	txBytes, heard    int
}

// write signs everything that a run needs.
func write(net *kit.Network, p *Plan, who *owners) (*script, error) {
	s := &script{}
	n, rest := p.perFlush(), others{net: net}
	var before []domain.Hash
	for done, round := 0, 0; ; round++ {
		var ids []domain.Hash
		var raws [][]byte
		for range min(n, p.Transactions-done) {
			raw, made, err := who.pay(net.Genesis.ID, done, utxo.Outpoint{Tx: net.Genesis.ID, Index: uint32(done)})
			if err != nil {
				return nil, err
			}
			ids, raws = append(ids, made.Tx), append(raws, raw)
			s.txBytes += len(raw)
			done++
		}
		nowMS := kit.StartMS + uint64(round+1)*uint64(max(p.Flush.Milliseconds(), 1))
		observations := rest.speak(round, nowMS, ids, before)
		for _, raw := range observations {
			s.heard += len(raw)
		}
		s.txs, s.observations = append(s.txs, raws), append(s.observations, observations)
		if len(ids) == 0 {
			return s, nil
		}
		before = ids
	}
}

// MeasureGroup measures one node of a group.
func MeasureGroup(p Plan) (*Group, error) {
	net := kit.NewBLS("growth", kit.Equal(p.Peers)...)
	who := newOwners(1024)
	s, err := write(net, &p, who)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(p.Dir, fmt.Sprintf("group-%d", p.Peers))
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o := store.Options{Genesis: utxo.Delta{Tx: net.Genesis.ID}, GenesisMS: kit.StartMS}
	for i := range p.Transactions {
		o.Genesis.Created = append(o.Genesis.Created, utxo.Created{
			Outpoint: utxo.Outpoint{Tx: net.Genesis.ID, Index: uint32(i)}, Output: who.output(i),
		})
	}
	m, err := newMember(net, dir, o, p.together())
	if err != nil {
		return nil, err
	}
	g, err := m.play(&p, s)
	if err != nil {
		return nil, err
	}
	if err := m.store.Close(); err != nil {
		return nil, err
	}
	o.Genesis = utxo.Delta{} // it is in the store
	return g, g.look(net, dir, o, &p)
}

// play lets everything come, and measures from the tenth part on.
func (m *member) play(p *Plan, s *script) (*Group, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	written, err := writtenBytes()
	if err != nil {
		return nil, err
	}
	warm, measured := len(s.txs)/10, 0
	g := &Group{Kind: "group", Peers: p.Peers, Rate: p.Rate, FlushMS: float64(p.Flush.Microseconds()) / 1000, PerFlush: p.perFlush(), Together: m.together}
	for round := range s.txs {
		if round == warm {
			m.meter.reset()
			m.commits, measured = m.commits[:0], 0
		}
		m.nowMS = kit.StartMS + uint64(round+1)*uint64(max(p.Flush.Milliseconds(), 1))
		if err := m.take(s.txs[round]); err != nil {
			return nil, err
		}
		if err := m.flush(); err != nil {
			return nil, err
		}
		if err := m.hear(s.observations[round]); err != nil {
			return nil, err
		}
		measured += len(m.finals)
		if err := m.commit(); err != nil {
			return nil, err
		}
	}
	m.meter.to(Idle)
	if measured == 0 {
		return nil, fmt.Errorf("growth: %d transactions in observations of %d are too few to measure", p.Transactions, p.perFlush())
	}
	g.Measured = measured
	g.Parts, g.CPU = m.meter.split(measured)
	g.Allocs = float64(mallocs()-m.meter.allocs) / float64(measured)
	g.CommitP50, g.CommitP99 = percentiles(m.commits)
	after, err := writtenBytes()
	if err != nil {
		return nil, err
	}
	n, rounds := float64(p.Transactions), float64(len(s.txs))
	peers := float64(p.Peers - 1)
	g.Written = float64(after-written) / n
	g.WireTx, g.WireObs, g.WireOwn = float64(s.txBytes)/n, float64(s.heard)/n, float64(m.voted)/n
	g.Votes = 2 * (peers + 1)
	g.Leaves = 2*peers + peers*peers*rounds/n
	g.Signatures = 1 + peers*rounds/n
	return g, nil
}

// look opens the store again, so that all of it is in tables, and sees what has become of it.
func (g *Group) look(net *kit.Network, dir string, o store.Options, p *Plan) (err error) {
	before, err := writtenBytes()
	if err != nil {
		return err
	}
	o.Network, o.Key, o.SigningEpoch = net.Genesis.ID, net.Signers[0].Key.Public(), net.Signers[0].Head.SigningEpoch
	s, err := store.Open(dir, o)
	if err != nil {
		return err
	}
	defer func() {
		if e := s.Close(); err == nil {
			err = e
		}
	}()
	u, err := settled(s)
	if err != nil {
		return err
	}
	after, err := writtenBytes()
	if err != nil {
		return err
	}
	n := float64(p.Transactions)
	g.Written += float64(after-before) / n
	g.Total = float64(u.Total-u.Log) / n
	g.Disk = make(map[string]float64)
	for name, bytes := range u.Classes {
		if bytes > 0 && name != "genesis" {
			g.Disk[name] = float64(bytes) / n
		}
	}
	if p.Proofs == 0 {
		return nil
	}
	pr := &prover{net: net, store: s, trees: make(map[place]*kept)}
	if g.Proofs, err = pr.measure(p.Proofs, p.Compact); err != nil || p.Compact == 0 {
		return err
	}
	g.Forms, err = measureForms(pr, p, g)
	return err
}

// settled waits until the store has written its index, and flushed and compacted what it means to, which it does on this process's time: a
// debt below what a compaction is worth stays.
func settled(s *store.Store) (u store.Usage, err error) {
	if err := s.WriteIndex(); err != nil {
		return u, err
	}
	for quiet := 0; quiet < 5; {
		before := processCPU()
		time.Sleep(settlePause)
		used := processCPU() - before
		last := u.Total
		if u, err = s.Usage(); err != nil {
			return u, err
		}
		if quiet++; used > settlePause/10 || u.Total != last {
			quiet = 0
		}
	}
	return u, nil
}

// settlePause is between two looks at a store that nobody uses.
const settlePause = 20 * time.Millisecond

// writtenBytes is what this process has had written to disks so far (proc(5)).
func writtenBytes() (uint64, error) {
	b, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes: "); ok {
			return strconv.ParseUint(strings.TrimSpace(rest), 10, 64)
		}
	}
	return 0, fmt.Errorf("growth: no write_bytes in /proc/self/io")
}
