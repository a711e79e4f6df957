package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/notarynet/notaryd/observation"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
	"github.com/notarynet/notaryd/utxo"
)

// pageToken writes a place in a list. Clients keep it and do not read it.
func pageToken(parts ...uint64) string {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, p)
	}
	return hex.EncodeToString(b)
}

// readToken reads a place of n parts; nil for the beginning.
func readToken(token string, n int) ([]uint64, error) {
	if token == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(token)
	if err != nil || len(b) != 8*n {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "not a token of this list")
	}
	parts := make([]uint64, n)
	for i := range parts {
		parts[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	return parts, nil
}

// finalsAtOnce is how much of the log of finals is read before it is looked whether to go on.
const finalsAtOnce = 16

// Finals lists what is final here, newest first. The token is the place in the log of finals from which
// to go on downwards. spend is told of every record that is read, in bytes; the page ends where it says so.
func (n *Node) Finals(ctx context.Context, token string, limit int, spend func(bytes int) bool) (out []*notaryv1.TransactionStatus, next string, err error) {
	sh := n.sh
	from := sh.store.LastSeq()
	if at, err := readToken(token, 1); err != nil {
		return nil, "", err
	} else if at != nil {
		from = min(from, at[0])
	}
	for from > 0 && len(out) < limit {
		low := from - min(from-1, uint64(min(limit-len(out), finalsAtOnce)-1))
		page, err := sh.store.FinalLog(low, int(from-low+1))
		if err != nil {
			return nil, "", err
		}
		for _, e := range slices.Backward(page) {
			if e.Seq > from {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
			t, found, err := sh.store.Transaction(e.Tx)
			if err != nil {
				return nil, "", err
			}
			if !found || t.Final == nil {
				return nil, "", fmt.Errorf("%s, at %d in the log of finals, is not final", e.Tx, e.Seq)
			}
			out = append(out, sh.statusOf(e.Tx, t.Final))
			if !spend(len(t.Raw)) {
				return out, after(e.Seq), nil
			}
		}
		from = low - 1
	}
	return out, after(from + 1), nil
}

// after is the token of what comes after a place in a list that counts down to 1; empty where nothing does.
func after(place uint64) string {
	if place <= 1 {
		return ""
	}
	return pageToken(place - 1)
}

// Stats are the figures of this node. pay is told what it takes to count the contests.
func (n *Node) Stats(ctx context.Context, pay func(bytes int) error) (*notaryv1.GetStatsResponse, error) {
	sh := n.sh
	var contests, contenders int
	if err := sh.ask(ctx, func(r *record) { contests, contenders = r.contests(), len(r.open) }); err != nil {
		return nil, err
	}
	if err := pay(costOfContender * contenders); err != nil {
		return nil, err
	}
	counts := sh.store.Counts()
	perSecond, p50, p99 := sh.recent.minute(nowMS())
	return &notaryv1.GetStatsResponse{
		FinalTransactions: counts.Finals, LiveOutputs: counts.LiveOutputs, InFlight: uint64(max(0, sh.admission.inFlight.Load())),
		OpenContests: uint64(contests), FinalPerSecond: perSecond, FinalP50Ms: p50, FinalP99Ms: p99,
	}, nil
}

// maxObservations bounds a page of observations, whoever asks: each may be a megabyte that has to be read.
const maxObservations = 100

// Observations lists what a node key signed, newest first, as far as it is held here without a gap in a signing epoch. spend is as in
// Finals.
func (n *Node) Observations(ctx context.Context, key domain.PublicKey, token string, limit int, spend func(bytes int) bool) (out []*notaryv1.ObservationSummary, next string, err error) {
	limit = min(limit, maxObservations)
	at, err := readToken(token, 2)
	if err != nil {
		return nil, "", err
	}
	more := true
	for _, head := range n.heads(key) {
		top := head.Height
		if at != nil {
			if uint64(head.SigningEpoch) > at[0] {
				continue
			}
			if uint64(head.SigningEpoch) == at[0] {
				top = min(top, at[1])
			}
		}
		chain := observation.ChainID{Key: head.Key, SigningEpoch: head.SigningEpoch}
		for ; top > 0; top-- {
			if len(out) == limit || !more {
				return out, pageToken(uint64(head.SigningEpoch), top), nil
			}
			if err := ctx.Err(); err != nil {
				return nil, "", err
			}
			o, found, err := n.sh.store.Observation(chain, top)
			if err != nil {
				return nil, "", err
			}
			if !found {
				break // pruned, and so is what is below
			}
			out = append(out, summary(o))
			more = spend(len(o.Raw))
		}
	}
	return out, "", nil
}

// heads are the chains of a node key, that of its newest signing epoch first.
func (n *Node) heads(key domain.PublicKey) (out []observation.Head) {
	for _, h := range n.sh.store.Heads() {
		if h.Key == key {
			out = append(out, h)
		}
	}
	slices.Reverse(out)
	return out
}

// Observation is one that a node key signed; height 0 is the newest.
func (n *Node) Observation(_ context.Context, key domain.PublicKey, epoch uint32, height uint64) (*notaryv1.GetObservationResponse, error) {
	chain := observation.ChainID{Key: key, SigningEpoch: epoch}
	if height == 0 {
		height = n.sh.store.Head(chain).Height
	}
	o, found, err := n.sh.store.Observation(chain, height)
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "height", "no observation %d of %s in signing epoch %d is held here", height, key, epoch)
	}
	return &notaryv1.GetObservationResponse{Summary: summary(o), Observation: o.Raw}, nil
}

func summary(o *observation.Observation) *notaryv1.ObservationSummary {
	h := &o.Header
	return &notaryv1.ObservationSummary{
		NodeKey: h.Key[:], SigningEpoch: h.SigningEpoch, Height: h.Height, Hash: o.Hash[:], LeafCount: h.LeafCount,
		TimeMs: h.TimeMS, GroupEpoch: h.GroupEpoch,
	}
}

// Peers lists the members of the group, heaviest first.
func (n *Node) Peers(ctx context.Context, token string, limit int) ([]*notaryv1.PeerSummary, string, error) {
	at, err := readToken(token, 2)
	if err != nil {
		return nil, "", err
	}
	heard, err := n.sh.heard(ctx)
	if err != nil {
		return nil, "", err
	}
	members := slices.Clone(n.sh.group().Members())
	slices.SortStableFunc(members, func(a, b group.Member) int { return cmp.Compare(b.Weight, a.Weight) })
	from := uint64(0)
	if at != nil {
		if at[0] != n.sh.group().Epoch() || at[1] > uint64(len(members)) {
			return nil, "", refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "page_token", "the group has changed: list its peers anew")
		}
		from = at[1]
	}
	to := min(from+uint64(limit), uint64(len(members)))
	var out []*notaryv1.PeerSummary
	for i := range members[from:to] {
		out = append(out, n.peer(&members[from+uint64(i)], heard))
	}
	next := ""
	if to < uint64(len(members)) {
		next = pageToken(n.sh.group().Epoch(), to)
	}
	return out, next, nil
}

// Peer is one member of the group.
func (n *Node) Peer(ctx context.Context, id domain.Hash) (*notaryv1.PeerSummary, error) {
	heard, err := n.sh.heard(ctx)
	if err != nil {
		return nil, err
	}
	members := n.sh.group().Members()
	i := slices.IndexFunc(members, func(m group.Member) bool { return m.PeerID == id })
	if i < 0 {
		return nil, refusal.New(notaryv1.Reason_REASON_NOT_FOUND, "peer_id", "%s is no member of the group of epoch %d", id, n.sh.group().Epoch())
	}
	return n.peer(&members[i], heard), nil
}

func (n *Node) peer(m *group.Member, heard hearing) *notaryv1.PeerSummary {
	p := &notaryv1.PeerSummary{PeerId: m.PeerID[:], Weight: uint64(m.Weight), Convicted: n.sh.archive.convicts(m.Keys)}
	for i := range m.Keys {
		k := &m.Keys[i]
		p.NodeKeys = append(p.NodeKeys, k.Key[:])
		p.Heights = append(p.Heights, n.sh.store.Head(observation.ChainID{Key: k.Key, SigningEpoch: k.SigningEpoch}).Height)
		if at, ever := heard.at[k.Key]; ever {
			p.LastSeenMs = max(p.LastSeenMs, uint64(at.UnixMilli()))
		}
		p.Online = p.Online || heard.lately(k.Key)
		if k.Key == n.sh.self {
			p.Online, p.LastSeenMs = true, nowMS()
		}
	}
	return p
}

// Search finds what a person pasted: hex of a transaction id, of a peer id or of a node key, or an address.
// What fits nothing here has no hits.
func (n *Node) Search(ctx context.Context, query string) ([]*notaryv1.SearchHit, error) {
	query = strings.TrimSpace(query)
	id, err := domain.ParseHash(strings.ToLower(strings.TrimPrefix(query, "0x")))
	if err != nil {
		addr, err := n.address(query)
		if err != nil {
			return nil, nil // an address of another network, or no address at all
		}
		text := utxo.FormatAddress(n.sh.genesis.Doc.AddressPrefix, addr)
		return []*notaryv1.SearchHit{{Kind: notaryv1.SearchHitKind_SEARCH_HIT_KIND_ADDRESS, Id: text}}, nil
	}
	var hits []*notaryv1.SearchHit
	switch _, _, err := n.Transaction(ctx, id); {
	case err == nil:
		hits = append(hits, &notaryv1.SearchHit{Kind: notaryv1.SearchHitKind_SEARCH_HIT_KIND_TRANSACTION, Id: id.String()})
	case refusal.ReasonOf(err) != notaryv1.Reason_REASON_NOT_FOUND:
		return nil, err
	}
	for _, m := range n.sh.group().Members() {
		if m.PeerID == id || slices.ContainsFunc(m.Keys, func(k group.NodeKey) bool { return domain.Hash(k.Key) == id }) {
			hits = append(hits, &notaryv1.SearchHit{Kind: notaryv1.SearchHitKind_SEARCH_HIT_KIND_PEER, Id: m.PeerID.String()})
		}
	}
	return hits, nil
}
