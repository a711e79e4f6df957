package main

import (
	"context"
	"encoding/hex"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/notarynet/notaryd/client/clienttest"
	"github.com/notarynet/notaryd/client/runtimefile"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// GetTrust shares what is trusted by labels: the script's arithmetic is simple, its numbers are not the point.
func (s *witness) GetTrust(_ context.Context, r *notaryv1.GetTrustRequest) (*notaryv1.GetTrustResponse, error) {
	members := s.Genesis.Group.Members()
	viewer := members[0].PeerID[:]
	if len(r.GetPeerId()) > 0 {
		viewer = r.GetPeerId()
	}
	out := &notaryv1.GetTrustResponse{Viewer: viewer, Distance: 110_000_000}
	relative := []uint64{140_000_000, 360_000_000, 300_000_000, 200_000_000}
	for i, m := range members {
		if len(r.GetExplain()) > 0 && string(r.GetExplain()) != string(m.PeerID[:]) {
			continue
		}
		out.Scores = append(out.Scores, &notaryv1.TrustScore{
			PeerId: m.PeerID[:], Relative: relative[i], Group: uint64(m.Weight), Label: s.labels[m.PeerID.String()],
		})
	}
	if len(r.GetExplain()) > 0 {
		out.Account = []string{"It holds 36.00 % of what 03f3a650c481… trusts, as a trusted peer.", "03f3a650c481… labels it 800, which is 100.00 % of what counts."}
	}
	return out, nil
}

func (s *witness) GetTrustMargin(context.Context, *notaryv1.GetTrustMarginRequest) (*notaryv1.GetTrustMarginResponse, error) {
	members := s.Genesis.Group.Members()
	return &notaryv1.GetTrustMarginResponse{
		SafetyWeight: 500_000_000, SafetyPeers: [][]byte{members[0].PeerID[:], members[1].PeerID[:]},
		ProgressWeight: 500_000_000, ProgressPeers: [][]byte{members[0].PeerID[:], members[1].PeerID[:]}, Distance: 110_000_000,
		Account:      []string{"2 peers together hold 50.0 % of the group's weight: enough to make rivals final, if they were faulty."},
		AttackLabels: 9, AttackRaters: [][]byte{members[2].PeerID[:]},
		Mends: []*notaryv1.TrustMend{{Rater: members[2].PeerID[:], Ratee: members[3].PeerID[:], Score: 1000, Relief: 31_000_000}},
	}, nil
}

func (s *witness) SimulateTrust(_ context.Context, r *notaryv1.SimulateTrustRequest) (*notaryv1.SimulateTrustResponse, error) {
	members := s.Genesis.Group.Members()
	two := [][]byte{members[0].PeerID[:], members[1].PeerID[:]}
	out := &notaryv1.SimulateTrustResponse{
		Moved:  60_000_000,
		Before: &notaryv1.TrustMargin{SafetyWeight: 500_000_000, SafetyPeers: two, ProgressWeight: 500_000_000, ProgressPeers: two},
		After:  &notaryv1.TrustMargin{SafetyWeight: 370_000_000, SafetyPeers: two[:1], ProgressWeight: 370_000_000, ProgressPeers: two[:1]},
	}
	for _, c := range r.GetChanges() {
		after := uint64(int64(quarter) + int64(c.GetScore())*60_000)
		if c.GetRemove() {
			after = 0
		}
		out.Movers = append(out.Movers, &notaryv1.WeightChange{PeerId: c.GetRatee(), Before: quarter, After: after})
	}
	return out, nil
}

// operator is the node's admin socket: labels that are set there are seen by the witness.
type operator struct {
	notaryv1.UnimplementedAdminServiceServer
	witness *witness
}

func (o *operator) SetTrustLabel(_ context.Context, r *notaryv1.SetTrustLabelRequest) (*notaryv1.SetTrustLabelResponse, error) {
	o.witness.labels[hex.EncodeToString(r.GetPeerId())] = r.GetScore()
	return &notaryv1.SetTrustLabelResponse{}, nil
}

func (o *operator) RemoveTrustLabel(_ context.Context, r *notaryv1.RemoveTrustLabelRequest) (*notaryv1.RemoveTrustLabelResponse, error) {
	id := hex.EncodeToString(r.GetPeerId())
	if _, found := o.witness.labels[id]; !found {
		refused, err := status.New(codes.NotFound, "no label").WithDetails(&errdetails.ErrorInfo{Reason: "NOT_FOUND", Domain: "notary.v1"})
		if err != nil {
			return nil, err
		}
		return nil, refused.Err()
	}
	delete(o.witness.labels, id)
	return &notaryv1.RemoveTrustLabelResponse{}, nil
}

// withOperator serves the admin socket that the runtime file names.
func (w *world) withOperator(s *witness) *world {
	w.t.Helper()
	path := w.env["NOTARY_RUNTIME"]
	f, err := runtimefile.Load(path)
	if err != nil {
		w.t.Fatal(err)
	}
	f.Nodes[0].Admin = filepath.Join(w.dir, "admin.sock")
	if err := runtimefile.Save(path, f); err != nil {
		w.t.Fatal(err)
	}
	l, err := net.Listen("unix", f.Nodes[0].Admin)
	if err != nil {
		w.t.Fatal(err)
	}
	server := grpc.NewServer()
	notaryv1.RegisterAdminServiceServer(server, &operator{witness: s})
	go server.Serve(l) // ends with Stop
	w.t.Cleanup(server.Stop)
	return w
}

// TestTrustTranscript: whom to trust, what that is worth, and what would follow.
func TestTrustTranscript(t *testing.T) {
	s := &witness{labels: map[string]int32{}}
	w := newWorld(t).withWitness(s).withOperator(s)
	peers := w.net.Genesis.Group.Members()
	second := peers[1].PeerID.String()
	w.want(exitOK, "trust", "list")
	w.want(exitOK, "trust", "set", second[:8], "800")
	w.want(exitOK, "trust", "set", "--json", peers[3].PeerID.String(), "-50")
	w.want(exitOK, "trust", "list")
	w.want(exitOK, "trust", "list", "--json")
	w.want(exitOK, "trust", "explain", second[:6])
	w.want(exitOK, "trust", "explain", second[:6], "--json")
	w.want(exitOK, "trust", "margin")
	w.want(exitOK, "trust", "margin", "--json")
	w.want(exitOK, "trust", "simulate", second[:6]+"=1000", peers[2].PeerID.String()+":"+peers[3].PeerID.String()+"=none")
	w.want(exitOK, "trust", "simulate", second[:6]+"=-20", "--json")
	w.want(exitOK, "trust", "remove", second[:8])
	w.want(exitOK, "trust", "list")
	w.refused(exitFailed, "NOT_FOUND", "trust", "remove", second[:8])
	w.refused(exitUsage, "USAGE", "trust", "set", second[:8], "1001")
	w.refused(exitUsage, "USAGE", "trust", "set", "0000", "5")
	w.refused(exitUsage, "USAGE", "trust", "simulate", second[:6])
	w.refused(exitUsage, "USAGE", "trust", "simulate", ":"+second[:6]+"=5")
	w.refused(exitUsage, "USAGE", "trust", "simulate", second[:6]+"=much")
	w.write("mine.json", w.want(exitOK, "trust", "list", "--json"))
	w.want(exitOK, "wallet", "restore", "--words-file", "words.txt")
	w.write("note.txt", "Believe it or not.\n")
	w.want(exitOK, "stamp", "note.txt")
	w.want(exitOK, "verify", "note.txt", "--trust", "mine.json")
	w.want(exitOK, "proof", "verify", "note.txt.notary", "--trust", "mine.json", "--trust-share", "80", "--json")
	w.net.Set(clienttest.Faults{Silent: 1})
	w.write("note.txt", "Believe it.\n")
	w.want(exitOK, "stamp", "note.txt", "--force")
	w.want(exitOK, "proof", "verify", "note.txt.notary", "--trust", "mine.json", "--trust-share", "90")
	w.refused(exitUsage, "USAGE", "verify", "note.txt", "--trust", "note.txt")
	w.refused(exitUsage, "USAGE", "verify", "note.txt", "--trust", "mine.json", "--trust-share", "101")
	w.golden("trust")
}
