package growth

import (
	"encoding/binary"
	"math/rand/v2"

	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
)

// others are all signers of a network but the first: what they say is signed before anything is measured.
type others struct {
	net   *kit.Network
	heads []observation.Head // of the last round, by signer
}

// speak are the observations of all others in one round: votes on
// transactions in an order of each one's own, as they come to it, and the newest observation of everybody else.
func (o *others) speak(round int, nowMS uint64, pending, accepted []domain.Hash) [][]byte {
	raws := make([][]byte, 0, len(o.net.Signers)-1)
	heads := make([]observation.Head, len(o.net.Signers))
	for i, s := range o.net.Signers {
		if i == 0 {
			// The member's own, which is not made yet: a leaf names it by a hash, and any hash is as long.
			heads[0] = observation.Head{Key: s.Head.Key, Hash: domain.Sum(domain.TagObservation, binary.BigEndian.AppendUint64(nil, uint64(round)))}
			continue
		}
		mix := rand.New(rand.NewPCG(uint64(round), uint64(i)))
		var row observation.Row
		for _, v := range []struct {
			ids   []domain.Hash
			state observation.State
		}{{pending, observation.Pending}, {accepted, observation.Accepted}} {
			for _, at := range mix.Perm(len(v.ids)) {
				row.Add(kit.Vote(v.ids[at], v.state, 0, nowMS+mix.Uint64N(8)))
			}
		}
		for j, h := range o.heads {
			if j != i {
				row.Add(observation.Leaf{Subject: h.Hash, Type: observation.SubjectObservation, State: observation.Seen, TimeMS: nowMS + 8})
			}
		}
		for _, leaves := range row.Pieces(observation.PieceLeaves(len(o.net.Signers)), observation.MaxLeaves) {
			raws = append(raws, s.Observe(o.net.Group, nowMS+8, leaves...).Raw)
		}
		heads[i] = s.Head
	}
	o.heads = heads
	return raws
}
