package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// askNode asks the running node.
func askNode(ctx context.Context, config Config) []finding {
	problems, err := readiness(ctx, config.API.Public)
	if err != nil {
		return []finding{{"node", problem, fmt.Sprintf("it runs, and does not answer on %s: %v", config.API.Public, err), "look at its log"}}
	}
	list := []finding{{"node", fine, "ready", ""}}
	if len(problems) > 0 {
		list[0] = finding{"node", problem, "not ready: " + sentence(problems), readyFix(problems)}
	}
	info, err := networkOf(ctx, config.API.Public)
	if err != nil {
		return append(list, finding{"peers", problem, err.Error(), "look at its log"})
	}
	list = append(list, checkPeers(info), checkReach(config, info))
	conn, err := grpc.NewClient(config.API.Public, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return append(list, finding{"clock", skipped, err.Error(), ""})
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	explorer := notaryv1.NewExplorerServiceClient(conn)
	return append(list, checkClock(ctx, explorer, info.NodeKey), checkMargin(ctx, explorer, config.Trust.MarginFloor))
}

// readyFix says what to do about what is in the way.
func readyFix(problems []string) string {
	all := sentence(problems)
	switch {
	case strings.Contains(all, "not restored"):
		return "notaryd restore gives the store a signing epoch of its own"
	case strings.Contains(all, "names signing epoch"):
		return "have the master key certify that epoch: notaryd certify DIR --peer ID --signing-epoch N"
	case strings.Contains(all, "contradicted itself"), strings.Contains(all, "another machine"):
		return "make sure that no other machine has this key; then notaryd restore DIR --renew, and certify the new epoch. A peer that was convicted stays so: begin again with a new master key"
	case strings.Contains(all, "no room"):
		return "make room, or notaryd prune DIR --older-than 720h"
	case strings.Contains(all, "listening"):
		return "wait: it votes once members have answered, or when vote.listen is over"
	}
	return "look at its log"
}

// checkPeers holds what the node hears of against what anything needs to become final.
func checkPeers(n *notaryv1.GetNetworkResponse) finding {
	detail := fmt.Sprintf("%d connected; %d.%d %% of the weight heard of lately", n.ConnectedPeers, n.OnlineWeight/(uint64(group.Total)/100), n.OnlineWeight/(uint64(group.Total)/1000)%10)
	if !group.Quorum(group.Weight(n.OnlineWeight)) {
		return finding{"peers", problem, detail + ": nothing can become final",
			"if other operators hear each other, this node is cut off: check its port and p2p.bootstrap. Else wait for theirs; after a start, for ten seconds"}
	}
	return finding{"peers", fine, detail, ""}
}

// checkReach says whether others can find this node.
func checkReach(config Config, n *notaryv1.GetNetworkResponse) finding {
	anywhere := slices.ContainsFunc(config.P2P.Listen, func(l string) bool { return strings.Contains(l, "/0.0.0.0/") || strings.Contains(l, "/::/") })
	switch {
	case n.ConnectedPeers == 0 && n.OnlineWeight < uint64(group.Total):
		return finding{"reachability", problem, "no peer is connected", "let TCP and UDP in on the port of p2p.listen, and name peers in p2p.bootstrap"}
	case anywhere && len(config.P2P.Announce) == 0:
		return finding{"reachability", warning, "it listens everywhere and announces no address: who does not know it cannot find it",
			"set p2p.announce to the address by which others reach it"}
	}
	return finding{"reachability", fine, strings.Join(append(slices.Clone(config.P2P.Listen), config.P2P.Announce...), " "), ""}
}

// How far the median of what peers sealed last may lie from now: they seal every five seconds, or as set.
const (
	clockAhead  = 2 * time.Second  // of this clock: this one is behind
	clockBehind = 20 * time.Second // this one is ahead
)

// checkClock compares the clock with the newest observations of the peers that are online.
func checkClock(ctx context.Context, explorer notaryv1.ExplorerServiceClient, self []byte) finding {
	peers, err := explorer.ListPeers(ctx, &notaryv1.ListPeersRequest{PageSize: 100})
	if err != nil {
		return finding{"clock", skipped, err.Error(), ""}
	}
	var offsets []time.Duration
	for _, p := range peers.Peers {
		if !p.Online || len(p.NodeKeys) == 0 || slices.Equal(p.NodeKeys[0], self) {
			continue
		}
		r, err := explorer.ListObservations(ctx, &notaryv1.ListObservationsRequest{NodeKey: p.NodeKeys[0], PageSize: 1})
		if err == nil && len(r.Observations) > 0 {
			offsets = append(offsets, time.Until(time.UnixMilli(int64(r.Observations[0].TimeMs))))
		}
	}
	return judgeClock(offsets)
}

// judgeClock judges how far ahead of this clock the peers' newest times are.
func judgeClock(offsets []time.Duration) finding {
	if len(offsets) == 0 {
		return finding{"clock", skipped, "no peer to compare it with", ""}
	}
	slices.Sort(offsets)
	median := offsets[len(offsets)/2].Round(time.Millisecond)
	if median > clockAhead || median < -clockBehind {
		return finding{"clock", problem, fmt.Sprintf("the newest observations of %d peers are %v off, in the median", len(offsets), median),
			"set the clock, and keep it right with an NTP client"}
	}
	return finding{"clock", fine, fmt.Sprintf("agrees with %d peers (%v)", len(offsets), median), ""}
}

// checkMargin asks how many peers hold enough to harm the group.
func checkMargin(ctx context.Context, explorer notaryv1.ExplorerServiceClient, floor int) finding {
	m, err := explorer.GetTrustMargin(ctx, &notaryv1.GetTrustMarginRequest{})
	if err != nil {
		return finding{"margin", skipped, err.Error(), ""}
	}
	detail := fmt.Sprintf("%d peers could break safety, %d stop progress", len(m.SafetyPeers), len(m.ProgressPeers))
	if least := min(len(m.SafetyPeers), len(m.ProgressPeers)); least < floor {
		return finding{"margin", warning, fmt.Sprintf("%s; trust.margin_floor is %d", detail, floor), "notary trust margin says which labels would mend it"}
	}
	return finding{"margin", fine, detail, ""}
}
