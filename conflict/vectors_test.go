package conflict

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
)

// vectors are what other implementations check themselves against.
type vectors struct {
	// Group is the canonical encoding of the group of all vectors, Link its link hash.
	Group, Link  string
	Facilitators []facilitatorVector
	Ties         []tieVector
	Records      []recordVector
	RoundMS      []roundVector
}

type facilitatorVector struct {
	Outpoint string
	Round    uint32
	Position int
	Key      string
}

type tieVector struct {
	Outpoint string
	Round    uint32
	Tx, Hash string
}

type recordVector struct {
	Outpoint, Tx     string
	Round            uint32
	State            observation.State
	Epoch            uint64
	Certificate      *certVector
	Released         bool
	RecordKey, Value string
}

type certVector struct {
	Epoch uint64
	Round uint32
}

type roundVector struct {
	Round  uint32
	Floods int
	MS     uint64
	WaitMS uint64
}

func makeVectors(t *testing.T) vectors {
	g := groupOf(t, 3, 1, 2, 3, 4)
	link := g.Link()
	v := vectors{Group: hex.EncodeToString(g.Bytes()), Link: link.String()}
	for n := range 4 {
		for _, round := range []uint32{1, 2, 300} {
			o := outpoint(n).Bytes()
			i := FacilitatorOf(g, outpoint(n), round)
			v.Facilitators = append(v.Facilitators, facilitatorVector{hex.EncodeToString(o[:]), round, i, g.Voters()[i].Key.String()})
			v.Ties = append(v.Ties, tieVector{hex.EncodeToString(o[:]), round, tx(n).String(), TieHash(outpoint(n), round, link, tx(n)).String()})
		}
	}
	for _, r := range []Record{
		{Outpoint: outpoint(1), State: observation.Pending, Tx: tx(1)},
		{Outpoint: outpoint(2), State: observation.Pending, Round: 9, Tx: tx(1), Epoch: 3, Certificate: CertAt(2, 7)},
		{Outpoint: outpoint(1), State: observation.Accepted, Round: 7, Tx: tx(2), Epoch: 3, Certificate: CertAt(3, 7), Released: true},
		{Outpoint: outpoint(3), State: observation.Inherited, Round: 7, Tx: tx(3), Epoch: 3, Certificate: CertAt(2, 7)},
	} {
		o, key, value := r.Outpoint.Bytes(), r.Key(), r.Value()
		x := recordVector{
			Outpoint: hex.EncodeToString(o[:]), Tx: r.Tx.String(), Round: r.Round, State: r.State, Epoch: r.Epoch, Released: r.Released,
			RecordKey: hex.EncodeToString(key[:]), Value: hex.EncodeToString(value[:]),
		}
		if r.Certificate.Known {
			x.Certificate = &certVector{r.Certificate.Epoch, r.Certificate.Round}
		}
		v.Records = append(v.Records, x)
	}
	for _, round := range []uint32{0, 1, 2, 10, 1 << 31} {
		for _, floods := range []int{0, 1, 9} {
			p := DefaultParams()
			v.RoundMS = append(v.RoundMS, roundVector{round, floods, p.RoundMS(round, floods), p.WaitMS(round, floods)})
		}
	}
	return v
}

func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	got, err := json.MarshalIndent(makeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Errorf("vectors have changed: this is another protocol")
	}
}

// Over many rounds each voter facilitates in proportion to its share.
func TestFacilitatorsByShare(t *testing.T) {
	g := groupOf(t, 0, 1, 2, 3, 4)
	const rounds = 20_000
	counts := make([]int, 4)
	for r := range uint32(rounds) {
		counts[FacilitatorOf(g, outpoint(5), r)]++
	}
	for i, v := range g.Voters() {
		want := rounds * int(v.Share/1000) / 1_000_000
		if d := counts[i] - want; d*d > 9*want*2 { // three standard deviations and more
			t.Errorf("voter %d facilitated %d rounds of %d, want about %d", i, counts[i], rounds, want)
		}
	}
}

// No one id wins the tie in every round.
func TestTiesTurn(t *testing.T) {
	wins := make(map[domain.Hash]int)
	for r := range uint32(200) {
		a, b := TieHash(outpoint(1), r, hash('l', 0), tx(1)), TieHash(outpoint(1), r, hash('l', 0), tx(2))
		if a.Compare(b) < 0 {
			wins[tx(1)]++
		} else {
			wins[tx(2)]++
		}
	}
	if wins[tx(1)] < 60 || wins[tx(2)] < 60 {
		t.Errorf("ties are won %v", wins)
	}
}

func TestParamsValidate(t *testing.T) {
	if err := DefaultParams().Validate(); err != nil {
		t.Error(err)
	}
	for name, edit := range map[string]func(*Params){
		"base":    func(p *Params) { p.BaseMS = 0 },
		"max":     func(p *Params) { p.MaxMS = p.BaseMS - 1 },
		"huge":    func(p *Params) { p.MaxMS = 1<<31 + 1 },
		"pull":    func(p *Params) { p.PullMS = 0 },
		"rivals":  func(p *Params) { p.MaxRivals = 1 },
		"settled": func(p *Params) { p.MaxSettled = 0 },
	} {
		p := DefaultParams()
		edit(&p)
		if p.Validate() == nil {
			t.Errorf("%s: accepted %+v", name, p)
		}
	}
}

// A preferred facilitator that all rivals name wins their tie, and nothing but ties.
func TestPreferredFacilitatorWinsTies(t *testing.T) {
	g := equalGroup(t, 4)
	c := newTestContests(t, 0, g, nil)
	prefer := []domain.PublicKey{nodeKey(2)}
	for id := range 2 {
		c.Step(Join{Tx: tx(id), Spends: outpoints(1), Facilitators: prefer, InWindow: false})
	}
	c.Step(Heard{[]Vote{
		{Tx: tx(0), State: observation.Pending, Round: 0, Group: g, Voter: 1},
		{Tx: tx(1), State: observation.Pending, Round: 0, Group: g, Voter: 2},
	}})
	k := c.txs[tx(0)].contest
	for round := range uint32(20) {
		k.round, k.lowest.known = round+1, false
		picks := c.choose(k, k.members).picks
		f := c.facilitator(k)
		if len(picks) != 1 || picks[0].id != tx(1) && f != 1 && f != 2 {
			t.Errorf("round %d: picks %v", round+1, picks)
		}
	}
}
