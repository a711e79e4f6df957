package gossip

import (
	"math"
	"sync"
	"time"

	"github.com/notarynet/notaryd/proto/domain"
)

// Offence is a misdeed that costs a peer its standing: with the gossip router, with pulls, and in the
// end its connection.
type Offence uint8

const (
	// OffenceSlow: it took a request and did not answer in time. An honest node may be overloaded.
	OffenceSlow Offence = iota
	// OffenceFlood: it asked for more than its share.
	OffenceFlood
	// OffenceInvalid: it sent a message that a handler rejects.
	OffenceInvalid
	// OffenceMalformed: it sent bytes that no correct node sends.
	OffenceMalformed
	// OffenceWrong: it answered with something else than what was asked, or with something false.
	OffenceWrong
	numOffences
)

// offences name the kinds for metrics and give them points. Four of
// the grave ones are a ban.
var offences = [numOffences]struct {
	name   string
	points float64
}{
	OffenceSlow:      {"slow", 1},
	OffenceFlood:     {"flood", 5},
	OffenceInvalid:   {"invalid", 25},
	OffenceMalformed: {"malformed", 25},
	OffenceWrong:     {"wrong", 25},
}

// String is the kind's label in metrics.
func (o Offence) String() string { return offences[o].name }

const (
	// banPoints of offences shut a peer out for banTime.
	banPoints = 95
	banTime   = 10 * time.Minute
	// pointsHalfLife is when half of the points are forgotten.
	pointsHalfLife = 5 * time.Minute
	// maxRecords bounds the peers remembered; the least guilty are forgotten first.
	maxRecords = 4096
	// memberBonus is added to the router's score of a group member: enough to be believed in peer
	// exchange and to outlast a few lapses, not enough to misbehave freely.
	memberBonus = 10
)

// ledger remembers misdeeds by node key, and who the members are.
type ledger struct {
	mu      sync.Mutex
	records map[domain.PublicKey]record
	members map[domain.PublicKey]struct{}
}

type record struct {
	points float64
	at     time.Time
}

func newLedger() *ledger {
	return &ledger{records: map[domain.PublicKey]record{}, members: map[domain.PublicKey]struct{}{}}
}

// left is what remains of the points after forgetting.
func (r record) left(now time.Time) float64 {
	return r.points * math.Exp2(-now.Sub(r.at).Seconds()/pointsHalfLife.Seconds())
}

// add books an offence and reports whether the peer is to be banned. Members are not: their votes count
// until a link removes them, and must be able to arrive.
func (l *ledger) add(key domain.PublicKey, o Offence, now time.Time) (ban bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	total := l.records[key].left(now) + offences[o].points
	if _, known := l.records[key]; !known && len(l.records) >= maxRecords {
		l.forget(now)
	}
	l.records[key] = record{points: total, at: now}
	_, member := l.members[key]
	return total >= banPoints && !member
}

// forget makes room for one record.
func (l *ledger) forget(now time.Time) {
	least, who := math.Inf(1), domain.PublicKey{}
	for key, r := range l.records {
		left := r.left(now)
		if left < 0.5 {
			delete(l.records, key)
		} else if left < least {
			least, who = left, key
		}
	}
	if len(l.records) >= maxRecords {
		delete(l.records, who)
	}
}

// points is what stands against a peer.
func (l *ledger) points(key domain.PublicKey, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.records[key].left(now)
}

// standing is the application's part of the router's score.
func (l *ledger) standing(key domain.PublicKey, now time.Time) float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := -l.records[key].left(now)
	if _, member := l.members[key]; member {
		s += memberBonus
	}
	return s
}

func (l *ledger) isMember(key domain.PublicKey) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, member := l.members[key]
	return member
}

// setMembers replaces the set of members and returns who came and who went.
func (l *ledger) setMembers(keys []domain.PublicKey) (came, went []domain.PublicKey) {
	next := make(map[domain.PublicKey]struct{}, len(keys))
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, k := range keys {
		if _, twice := next[k]; twice {
			continue
		}
		next[k] = struct{}{}
		if _, had := l.members[k]; !had {
			came = append(came, k)
		}
	}
	for k := range l.members {
		if _, stays := next[k]; !stays {
			went = append(went, k)
		}
	}
	l.members = next
	return came, went
}
