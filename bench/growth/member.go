package growth

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/node/lifecycle"
	"github.com/notarynet/notaryd/node/store"
	"github.com/notarynet/notaryd/observation"
	kit "github.com/notarynet/notaryd/observation/observationtest"
	"github.com/notarynet/notaryd/proto/domain"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// flight is one transaction on its way.
type flight struct {
	tx      *utxo.Tx
	machine *lifecycle.Machine
	edges   []conflict.Vote
	coins   []store.Coin // where what it spends was found
}

// cast is a vote that a machine asks for.
type cast struct {
	flight *flight
	lifecycle.Cast
}

// member is what one node of a group computes and writes. Not for concurrent use.
type member struct {
	group *group.Group
	key   domain.PrivateKey
	voter int
	store *store.Store
	meter meter
	// together is how many signatures are verified at once, and how many observations are stored at once.
	together Together

	tally   *conflict.Tally
	guard   *conflict.Guard
	chains  *observation.Chains
	flights map[domain.Hash]*flight
	claims  map[utxo.Outpoint]domain.Hash
	head    observation.Head
	seen    []observation.Head // newest of each other since the last flush
	casts   []cast
	finals  []store.Final
	ended   []domain.Hash
	out     []conflict.Milestone
	nowMS   uint64

	// commits are the times that synced writes of finals took.
	commits []time.Duration
	// voted are the bytes of this node's own observations.
	voted int
}

// newMember is the first signer of a network, with an empty memory and its store in dir.
func newMember(net *kit.Network, dir string, o store.Options, t Together) (*member, error) {
	s := net.Signers[0]
	m := &member{
		group: net.Group, key: s.Key, together: t, head: s.Head, nowMS: kit.StartMS,
		tally: conflict.NewTally(conflict.DefaultTallyLimits), guard: conflict.NewGuard(),
		chains:  observation.NewChains(4096, 4096), // as node follows them
		flights: make(map[domain.Hash]*flight), claims: make(map[utxo.Outpoint]domain.Hash),
	}
	m.voter, _ = net.Group.Voter(s.Key.Public())
	o.Network, o.Key, o.SigningEpoch, o.Create = net.Genesis.ID, s.Key.Public(), s.Head.SigningEpoch, true
	var err error
	if m.store, err = store.Open(dir, o); err != nil {
		return nil, err
	}
	m.head = m.store.Head(observation.ChainID{Key: s.Key.Public(), SigningEpoch: s.Head.SigningEpoch})
	return m, nil
}

// take lets transactions in that came by gossip: decoded, verified, judged.
func (m *member) take(raws [][]byte) error {
	m.meter.to(Decode)
	txs := make([]*utxo.Tx, len(raws))
	checks := make([]domain.Check, 0, len(raws))
	for i, raw := range raws {
		var err error
		if txs[i], err = utxo.Decode(raw, utxo.Rules{Network: m.group.Network()}); err != nil {
			return err
		}
		checks = append(checks, txs[i].Checks()...)
	}
	m.meter.to(Verify)
	if err := m.verify(checks); err != nil {
		return err
	}
	m.meter.to(Judge)
	for _, tx := range txs {
		f := &flight{tx: tx, machine: lifecycle.NewMachine(tx, new(utxo.FeePolicy))}
		m.flights[tx.ID] = f
		m.tally.Know(tx.ID, nil)
		if err := m.step(f, lifecycle.Verified{}); err != nil {
			return err
		}
		if err := m.step(f, lifecycle.Begin{}); err != nil {
			return err
		}
	}
	m.meter.to(Idle)
	return nil
}

// verify checks signatures, as many at once as come together at a node.
func (m *member) verify(checks []domain.Check) error {
	for len(checks) > 0 {
		n := min(m.together.Signatures, len(checks))
		for i, ok := range domain.VerifyBatch(checks[:n], rand.Reader) {
			if !ok {
				return fmt.Errorf("growth: signature %d is bad", i)
			}
		}
		checks = checks[n:]
	}
	return nil
}

// step gives a machine an input and performs what it asks for, as node's flight does; votes and commits are left to
// flush and commit.
func (m *member) step(f *flight, in lifecycle.Input) error {
	for inputs := []lifecycle.Input{in}; len(inputs) > 0; inputs = inputs[1:] {
		for _, effect := range f.machine.Step(inputs[0]) {
			switch e := effect.(type) {
			case lifecycle.Look:
				looked, err := m.look(f)
				if err != nil {
					return err
				}
				inputs = append(inputs, looked)
			case lifecycle.Claim:
				for _, o := range f.tx.Spends() {
					if by, taken := m.claims[o]; taken {
						return fmt.Errorf("growth: %s and %s are rivals", by, f.tx.ID)
					}
					m.claims[o] = f.tx.ID
				}
				inputs = append(inputs, lifecycle.Claimed{})
			case lifecycle.Support:
				m.casts = append(m.casts, cast{f, lifecycle.Cast{State: observation.Pending}})
			case lifecycle.Cast:
				m.casts = append(m.casts, cast{f, e})
			case lifecycle.Commit:
				m.finals = append(m.finals, m.final(f, e))
			case lifecycle.Report:
				if e.Err != nil {
					return fmt.Errorf("growth: %s is %s: %w", f.tx.ID, e.State, e.Err)
				}
			case lifecycle.Relay, lifecycle.End:
			default:
				return fmt.Errorf("growth: %s asks for %T", f.tx.ID, e)
			}
		}
	}
	return nil
}

func (m *member) look(f *flight) (in lifecycle.Looked, err error) {
	tx := f.tx
	f.coins = make([]store.Coin, len(tx.Inputs)) // all are spent
	in = lifecycle.Looked{Entries: make([]utxo.Entry, len(tx.Inputs)), Found: make([]bool, len(tx.Inputs)), NowMS: m.nowMS}
	for i := range tx.Inputs {
		if in.Entries[i], f.coins[i], in.Found[i], err = m.store.Find(tx.Inputs[i].Outpoint); err != nil {
			return in, err
		}
	}
	return in, nil
}

func (m *member) final(f *flight, e lifecycle.Commit) store.Final {
	refs := make([]store.EdgeRef, len(f.edges))
	for i := range f.edges {
		v := &f.edges[i]
		refs[i] = store.EdgeRef{Key: v.Key(), SigningEpoch: v.SigningEpoch, Height: v.Height, Leaf: v.Leaf}
	}
	return store.Final{
		Tx: f.tx, FinalMS: m.nowMS, Round: e.Round, GroupEpoch: e.Group.Epoch(), Link: e.Group.Link(), Edges: refs, Coins: f.coins,
	}
}

// flush casts the votes that were asked for, as node's batcher does: guard, seal, sign, one synced write, and only
// then count.
func (m *member) flush() error {
	m.meter.to(Vote)
	defer m.meter.to(Idle)
	casts := m.casts
	m.casts = nil
	var batch store.VoteBatch
	var row observation.Row
	for _, c := range casts {
		leaf, err := m.admit(c, &batch)
		if err != nil {
			return err
		}
		row.Add(leaf)
	}
	for _, h := range m.seen {
		row.Add(observation.Leaf{Subject: h.Hash, Type: observation.SubjectObservation, State: observation.Seen, TimeMS: m.nowMS})
	}
	m.seen = m.seen[:0]
	head := m.head
	for _, leaves := range row.Pieces(observation.PieceLeaves(len(m.group.Voters())), observation.MaxLeaves) {
		draft := observation.Seal(head, m.group, leaves, m.nowMS)
		o := draft.Signed(domain.Sign(m.key, domain.TagObservation, m.group.Network(), draft.HeaderHash()))
		batch.Observations, head = append(batch.Observations, o), o.Head()
		m.voted += len(o.Raw)
	}
	if err := m.store.SaveVotes(batch); err != nil {
		return err
	}
	m.head = head
	m.meter.to(Count)
	for _, o := range batch.Observations {
		if err := m.count(o, m.voter); err != nil {
			return err
		}
	}
	m.meter.to(Vote)
	for _, c := range casts {
		if err := m.step(c.flight, lifecycle.Voted{State: c.State, Round: c.Round}); err != nil {
			return err
		}
	}
	return nil
}

// admit passes one vote through the guard into a batch.
func (m *member) admit(c cast, batch *store.VoteBatch) (leaf observation.Leaf, err error) {
	tx := c.flight.tx
	vote := conflict.OwnVote{
		Tx: tx.ID, Spends: tx.Spends(), State: c.State, Round: c.Round, Epoch: m.group.Epoch(), Certificate: c.Certificate,
	}
	if err := m.guard.Check(vote); err != nil {
		return leaf, err
	}
	spent := false
	for i, o := range vote.Spends {
		by, found, err := m.store.SpentBy(o, store.CoinAt(c.flight.coins, i))
		switch {
		case err != nil:
			return leaf, err
		case !found || !by.IsZero() && by != tx.ID:
			return leaf, fmt.Errorf("growth: %s spends what is not live", tx.ID)
		}
		spent = !by.IsZero()
	}
	if !spent {
		batch.Records = append(batch.Records, m.guard.Record(vote)...)
		batch.Transactions, batch.Coins = append(batch.Transactions, tx), append(batch.Coins, c.flight.coins)
	}
	return observation.Leaf{Subject: tx.ID, Type: observation.SubjectTx, State: c.State, Round: c.Round, TimeMS: m.nowMS}, nil
}

// hear takes in observations of others, some at a time.
func (m *member) hear(raws [][]byte) error {
	defer m.meter.to(Idle)
	for len(raws) > 0 {
		n := min(m.together.Observations, len(raws))
		if err := m.hearSome(raws[:n]); err != nil {
			return err
		}
		raws = raws[n:]
	}
	return nil
}

func (m *member) hearSome(raws [][]byte) error {
	m.meter.to(Hear)
	list := make([]*observation.Observation, len(raws))
	checks := make([]domain.Check, len(raws))
	for i, raw := range raws {
		var err error
		if list[i], err = observation.Decode(raw, observation.Rules{Network: m.group.Network()}); err != nil {
			return err
		}
		checks[i] = list[i].Check()
	}
	m.meter.to(Check)
	if err := m.verify(checks); err != nil {
		return err
	}
	m.meter.to(Save)
	voters := make([]int, len(list))
	for i, o := range list {
		var member bool
		if voters[i], member = m.group.Voter(o.Header.Key); !member || o.Header.Link != m.group.Link() {
			return errors.New("growth: an observation without weight")
		}
		if out := m.chains.Follow(&o.Header, o.Hash); out.Standing != observation.Extends {
			return fmt.Errorf("growth: observation %d of %s: %s", o.Header.Height, o.Header.Key, out.Standing)
		}
		if last := len(m.seen) - 1; last >= 0 && m.seen[last].Key == o.Header.Key {
			m.seen[last] = o.Head()
		} else {
			m.seen = append(m.seen, o.Head())
		}
	}
	if err := m.store.SaveObservations(list); err != nil {
		return err
	}
	m.meter.to(Count)
	for i, o := range list {
		if err := m.count(o, voters[i]); err != nil {
			return err
		}
	}
	return nil
}

// count counts the votes of an observation, as node's counting does, and tells machines of milestones.
func (m *member) count(o *observation.Observation, voter int) error {
	for i := range o.Len() {
		leaf := o.Leaf(i)
		if leaf.Type != observation.SubjectTx {
			continue
		}
		m.out = m.tally.Count(conflict.Vote{
			Tx: leaf.Subject, State: leaf.State, Round: leaf.Round, Group: m.group, Voter: voter,
			SigningEpoch: o.Header.SigningEpoch, Height: o.Header.Height, Leaf: uint32(i), TimeMS: leaf.TimeMS,
		}, m.out[:0])
		for _, reached := range m.out {
			f := m.flights[reached.Tx]
			if f == nil {
				return fmt.Errorf("growth: a vote on %s, which is not here", reached.Tx)
			}
			if reached.Kind == conflict.Final {
				f.edges = m.tally.Edges(nil, reached.Tx, m.group.Link(), reached.Round, observation.Accepted)
			}
			if err := m.step(f, lifecycle.Reached(reached)); err != nil {
				return err
			}
		}
	}
	return nil
}

// commit writes what has become final, and forgets its votes.
func (m *member) commit() error {
	for _, id := range m.ended { // a flush after their end, when all votes on them have come
		m.tally.Forget(id)
	}
	m.ended = m.ended[:0]
	if len(m.finals) == 0 {
		return nil
	}
	m.meter.to(Commit)
	defer m.meter.to(Idle)
	start := time.Now()
	if err := m.store.CommitFinal(m.finals); err != nil {
		return err
	}
	m.commits = append(m.commits, time.Since(start))
	for i := range m.finals {
		id := m.finals[i].Tx.ID
		if err := m.step(m.flights[id], lifecycle.Committed{FinalMS: m.nowMS}); err != nil {
			return err
		}
		for _, o := range m.finals[i].Tx.Spends() {
			m.guard.Release(o)
			delete(m.claims, o)
		}
		delete(m.flights, id)
		m.ended = append(m.ended, id)
	}
	m.finals = m.finals[:0]
	return nil
}
