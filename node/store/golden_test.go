package store

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/utxo"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenRecord is one record as docs/spec/store.md describes it.
type goldenRecord struct {
	Class string `json:"class"`
	Key   string `json:"key"`
	Value string `json:"value"`
}

// The layout on disk is fixed: what one vote, two finals, a peer's first metadata, a rejection, a forked chain, the evidence of it
// and a head that waits at a gap leave behind. A change here is a new schema, or a bug.
func TestGoldenRecords(t *testing.T) {
	s := openTest(t, func(o *Options) { o.Genesis = genesis(3) })
	a := makeTx(t, 1, []utxo.Outpoint{genesisOutpoint(0)}, payment(owners[1], 4), document(owners[2], 600))
	b := makeTx(t, 2, []utxo.Outpoint{{Tx: a.ID, Index: 0}}, payment(owners[2], 4))
	loser := makeTx(t, 3, []utxo.Outpoint{genesisOutpoint(0), genesisOutpoint(1)}, payment(owners[0], 20))
	pending := makeTx(t, 4, []utxo.Outpoint{genesisOutpoint(2)}, payment(owners[0], 10))
	vote(t, s, observation.Pending, 0, loser, pending)
	vote(t, s, observation.Accepted, 0, loser)
	first := seal(peers[0], observation.Head{}, now, voteLeaf(a.ID, observation.Accepted, 0))
	fork := seal(peers[0], observation.Head{}, now+1, voteLeaf(b.ID, observation.Accepted, 0))
	third := seal(peers[0], observation.Head{Height: 2, Hash: domain.Hash{1}}, now+2)
	if err := s.SaveObservations([]*observation.Observation{first, fork, third}); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveProof(a.ID, []byte("a proof")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SaveEvidence(must(observation.ForkedChain(first.Signed(), fork.Signed()))); err != nil {
		t.Fatal(err)
	}
	fa, fb := finalOf(a, now+5), finalOf(b, now+6)
	lost := recordsOf(loser, observation.Accepted, 0)
	for i := range lost {
		lost[i].Released = true
	}
	fa.Rivals = []Rejected{{
		Rejection: Rejection{
			Tx: loser.ID, Rival: a.ID, Reason: notaryv1.Reason_REASON_DOUBLE_SPEND,
			Field: "inputs[0].outpoint", Detail: "a rival is final", TimeMS: now + 5,
		},
		Released: lost,
	}}
	said, err := utxo.PeerOutput(&group.Peer{Master: owner.Public(), Version: 1})
	if err != nil {
		t.Fatal(err)
	}
	peer := makeTx(t, 5, []utxo.Outpoint{utxo.Origin(group.PeerID(owner.Public()))}, said)
	if err := s.CommitFinal([]Final{fa, fb, finalOf(peer, now+7)}); err != nil {
		t.Fatal(err)
	}
	vote(t, s, observation.Pending, 1, loser) // it was rejected, so that it is pending by a record of its own
	names := map[byte]string{}
	for _, c := range Classes {
		names[byte(c.Class)] = c.Name
	}
	var records []goldenRecord
	seen := map[string]bool{}
	for line := range strings.Lines(dump(t, s)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		raw, err := hex.DecodeString(key)
		if err != nil {
			t.Fatal(err)
		}
		records = append(records, goldenRecord{names[raw[0]], key, value})
		seen[names[raw[0]]] = true
	}
	for _, c := range Classes {
		if !seen[c.Name] {
			t.Errorf("no record of class %s", c.Name)
		}
	}
	got, err := json.MarshalIndent(records, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/records.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the records differ from %s", file)
	}
}
