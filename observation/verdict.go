package observation

import (
	"cmp"
	"slices"

	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
)

// Conclusion is what became of a verification. The zero value is Invalid.
type Conclusion uint8

const (
	// Invalid: some part of the proof is wrong; the error names it.
	Invalid Conclusion = iota
	// Valid: every transaction has more than 2/3 of the group's weight.
	Valid
	// NotEnoughWeight: nothing is wrong, but some transaction has no quorum.
	NotEnoughWeight
	// NoTrustRoot: nothing is wrong so far, but no group known to the verifier leads to the one that signed.
	NoTrustRoot
)

// String is the conclusion in lower case with underscores.
func (c Conclusion) String() string {
	switch c {
	case Valid:
		return "valid"
	case NotEnoughWeight:
		return "not_enough_weight"
	case NoTrustRoot:
		return "no_trust_root"
	}
	return "invalid"
}

// MarshalText implements encoding.TextMarshaler with the name.
func (c Conclusion) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// ExitCode is what a command reports: 0 valid, 1 invalid, 2 not enough weight, 3 no trust root.
func (c Conclusion) ExitCode() int {
	switch c {
	case Valid:
		return 0
	case NotEnoughWeight:
		return 2
	case NoTrustRoot:
		return 3
	}
	return 1
}

// Verdict is what a proof shows.
type Verdict struct {
	Conclusion Conclusion  `json:"conclusion"`
	State      State       `json:"state"`
	Network    domain.Hash `json:"network"`
	// GroupEpoch and Link name the group that signed.
	GroupEpoch uint64      `json:"group_epoch"`
	Link       domain.Hash `json:"link"`
	// Links in the order of the proof, as far as the verifier got.
	Links []LinkVerdict `json:"links,omitempty"`
	// Anchors are the groups that the links led to and that were not known before, for Root.With.
	Anchors []Anchor `json:"-"`
	// Transactions in the order of the proof; none without a trust root.
	Transactions []TransactionVerdict `json:"transactions,omitempty"`
}

// TransactionVerdict is what a proof shows of one transaction.
type TransactionVerdict struct {
	ID domain.Hash `json:"transaction_id"`
	// Included says that the proof carries the transaction, and that its body is the one that ID names.
	Included   bool       `json:"included"`
	Conclusion Conclusion `json:"conclusion"`
	Round      uint32     `json:"round"`
	// Weight that signed, of group.Total.
	Weight group.Weight `json:"weight"`
	// Quorum is the weight that must be exceeded, Missing how much more is needed for that.
	Quorum  group.Weight `json:"quorum"`
	Missing group.Weight `json:"missing"`
	// Peers that signed, by ascending peer id.
	Peers []PeerWeight `json:"peers"`
	// TimeMS is the notarised time: the weighted lower median of the times that the leaves state, Unix
	// milliseconds. EarliestMS and LatestMS are the outermost of them, SpreadMS the distance.
	TimeMS     uint64 `json:"time_ms"`
	EarliestMS uint64 `json:"earliest_ms"`
	LatestMS   uint64 `json:"latest_ms"`
	SpreadMS   uint64 `json:"spread_ms"`
	// Own is the verifier's own trust behind the proof, where it has one.
	Own *OwnVerdict `json:"own,omitempty"`
}

// PeerWeight is the part of a peer in a proof.
type PeerWeight struct {
	PeerID domain.Hash `json:"peer_id"`
	// Keys of the peer that signed, and the sum of their shares.
	Keys   int          `json:"keys"`
	Weight group.Weight `json:"weight"`
	// Of is the weight of the whole peer.
	Of group.Weight `json:"of"`
}

// OwnVerdict is the verifier's own trust behind a proof.
type OwnVerdict struct {
	Weight    group.Weight `json:"weight"`
	Threshold group.Weight `json:"threshold"`
	// Met says that Weight is not below Threshold.
	Met bool `json:"met"`
}

// vote is one counted edge.
type vote struct {
	voter  int
	timeMS uint64
}

// tell sums the votes of one transaction; there is at least one.
func (v *TransactionVerdict) tell(g *group.Group, votes []vote, own *OwnTrust) {
	byPeer := map[domain.Hash]*PeerWeight{}
	for _, x := range votes {
		voter := &g.Voters()[x.voter]
		peer, ok := byPeer[voter.PeerID]
		if !ok {
			peer = &PeerWeight{PeerID: voter.PeerID}
			byPeer[voter.PeerID] = peer
		}
		peer.Keys++
		peer.Weight += voter.Share
		v.Weight += voter.Share
	}
	// Members are ascending by peer id, and so are the peers of the verdict.
	for _, m := range g.Members() {
		if peer, ok := byPeer[m.PeerID]; ok {
			peer.Of = m.Weight
			v.Peers = append(v.Peers, *peer)
		}
	}
	v.Conclusion, v.Quorum = Valid, group.QuorumWeight
	if !group.Quorum(v.Weight) {
		v.Conclusion, v.Missing = NotEnoughWeight, group.QuorumWeight+1-v.Weight
	}
	v.tellTimes(g, votes)
	v.Own = own.behind(v.Peers)
}

// tellTimes takes the weighted lower median: the earliest time up to which at least half of the weight
// that signed had signed. With less than 1/3 of the group faulty and more than 2/3 signing, the faulty
// are less than half of what signed, so the median lies between two honest times.
func (v *TransactionVerdict) tellTimes(g *group.Group, votes []vote) {
	sorted := slices.SortedFunc(slices.Values(votes), func(a, b vote) int {
		return cmp.Compare(a.timeMS, b.timeMS)
	})
	v.EarliestMS, v.LatestMS = sorted[0].timeMS, sorted[len(sorted)-1].timeMS
	v.SpreadMS = v.LatestMS - v.EarliestMS
	var sum group.Weight
	for _, x := range sorted {
		sum += g.Voters()[x.voter].Share
		if 2*sum >= v.Weight {
			v.TimeMS = x.timeMS
			return
		}
	}
}

// behind sums own trust over peers, each for the part of its weight that signed, rounded down.
func (o *OwnTrust) behind(peers []PeerWeight) *OwnVerdict {
	if o == nil {
		return nil
	}
	v := &OwnVerdict{Threshold: o.Threshold}
	for _, p := range peers {
		v.Weight += o.Weights[p.PeerID] * p.Weight / p.Of
	}
	v.Met = v.Weight >= v.Threshold
	return v
}
