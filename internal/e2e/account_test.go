package e2e

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// account says where every running node stands: for whoever reads of a failure. It waits for nothing for long.
func (n *network) account(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for _, v := range n.up() {
		for _, line := range v.account(ctx) {
			t.Logf("node %d: %s", v.index, line)
		}
	}
}

// account is what a node says of itself: its epoch, evidence, contests that are open, and how far it holds everybody's
// chain.
func (v *notary) account(ctx context.Context) (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	problems, _ := v.running.node.Ready()
	info, err := v.running.GetNetwork(ctx, &notaryv1.GetNetworkRequest{})
	if err != nil {
		say("does not answer: %v", err)
		return lines
	}
	say("votes in epoch %d under %s with %d; %d peers, %d online; problems %q; %v", info.GroupEpoch, brief(info.Link), info.NodeWeight,
		info.ConnectedPeers, info.OnlineWeight, problems, info.CatchUp)
	for e, err := range v.running.store.EvidenceAfter(domain.Hash{}) {
		if err != nil {
			say("evidence: %v", err)
			break
		}
		key := e.Key().Key
		say("has evidence %s against %s", brief(e.Hash[:]), brief(key[:]))
	}
	for _, h := range v.running.store.Heads() {
		o, found, err := v.running.store.Observation(observation.ChainID{Key: h.Key, SigningEpoch: h.SigningEpoch}, h.Height)
		if err != nil || !found {
			say("head %d of %s: %v", h.Height, brief(h.Key[:]), err)
			continue
		}
		ends := ""
		if o.Len() > 0 && o.Leaf(o.Len()-1).State == observation.Closed {
			ends = ", closed"
		}
		say("holds the chain of %s up to %d, under %s%s", brief(h.Key[:]), h.Height, brief(o.Header.Link[:]), ends)
	}
	contests, _, err := v.running.node.Contests(ctx, "", 100, unpaid)
	if err != nil {
		say("contests: %v", err)
	}
	open := slices.DeleteFunc(contests, func(s *notaryv1.ContestSummary) bool { return s.Decided })
	for _, s := range open[:min(len(open), 3)] {
		c, err := v.running.node.Contest(ctx, domain.Hash(s.TransactionIds[0]), unpaid)
		if err != nil {
			say("contest of %s: %v", brief(s.TransactionIds[0]), err)
			continue
		}
		for _, tx := range c.Transactions {
			say("contends: %s, %v", brief(tx.TransactionId), tx.State)
		}
		say("%s", strings.Join(c.Account, " "))
	}
	return lines
}

// brief is how ids are told apart.
func brief(b []byte) string { return hex.EncodeToString(b[:min(len(b), 4)]) }
