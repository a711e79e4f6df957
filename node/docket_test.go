package node

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// proposal is the flight of a link that a voter proposes: its group has other weights and lists some evidence.
func (v *village) proposal(k *keeper, voter int, g *group.Group, by group.Weight, evidence ...domain.Hash) *flight {
	v.t.Helper()
	members := slices.Clone(g.Members())
	members[0].Weight -= by
	members[1].Weight += by
	next, err := group.New(v.genesis.ID, g.Epoch(), g.Previous(), members, evidence)
	if err != nil {
		v.t.Fatal(err)
	}
	d, err := utxo.NewLink(k.last, nil, next, v.genesis.EpochMS()).Build()
	if err != nil {
		v.t.Fatal(err)
	}
	tx, err := d.Sign(v.signers[voter].Key).Finish()
	if err != nil {
		v.t.Fatal(err)
	}
	return newFlight(tx, client("test"), &utxo.FeePolicy{})
}

// judging is a keeper that has read a label, so that there is a link to be made, and what it logs.
func (v *village) judging() (*keeper, *bytes.Buffer) {
	k, _ := v.keeper()
	said := new(bytes.Buffer)
	k.log, k.voting = slog.New(slog.NewTextHandler(said, nil)), func() *group.Group { return v.genesis.Group }
	k.state = k.state.After(v.genesis.Group, []*group.Peer{{
		ID: v.peer(0), Version: 1, Labels: []group.Label{{Peer: v.peer(1), Score: 900}},
		Keys: []group.CertifiedKey{{NodeKey: group.NodeKey{Key: v.signers[0].Key.Public()}}},
	}})
	return k, said
}

// TestOneProposerDelaysNobody: a member that has any number of links judged keeps nobody else's waiting.
func TestOneProposerDelaysNobody(t *testing.T) {
	v := newVillage(t, nil)
	k, said := v.judging()
	next, err := k.state.Next(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		k.judge(v.proposal(k, 3, next, group.Weight(10_000+i)))
	}
	right := v.proposal(k, 0, next, 0)
	k.judge(right)
	for ended := time.Now().Add(villagePatience); strings.Count(said.String(), "\n") < 201 && time.Now().Before(ended); {
		k.answer()
	}
	verdicts := strings.Split(said.String(), "\n")
	at := slices.IndexFunc(verdicts, func(line string) bool {
		return strings.Contains(line, "is right") && strings.Contains(line, right.tx.ID.String())
	})
	if at < 0 || at > 1 {
		t.Fatalf("judged after %d others", at)
	}
	if len(k.right) != 1 || k.right[0] != right || len(verdicts) != 202 {
		t.Fatalf("%d found right, %d verdicts", len(k.right), len(verdicts)-1)
	}
}

// TestUnjudgedEnd: links that waited in vain for evidence are not kept until the next link.
func TestUnjudgedEnd(t *testing.T) {
	v := newVillage(t, nil)
	k, _ := v.judging()
	innocent := k.state.Group().Members()[2:]
	gone, err := group.New(v.genesis.ID, 1, v.genesis.Group.Link(), []group.Member{
		{PeerID: innocent[0].PeerID, Weight: group.Total / 2, Keys: innocent[0].Keys}, {PeerID: innocent[1].PeerID, Weight: group.Total / 2, Keys: innocent[1].Keys},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		f := v.proposal(k, 3, gone, group.Weight(i), domain.Hash{1}, domain.Hash{2, byte(i)})
		k.judge(f)
		k.answer()
		if len(k.unjudged) == 0 {
			t.Fatal("the link was judged")
		}
		f.report(lifecycle.Rejected, nil, time.Now()) // as when its time is over
	}
	if len(k.unjudged) > 1 {
		t.Fatalf("%d links are kept", len(k.unjudged))
	}
}
