package node

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/notarynet/notaryd/conflict"
	"github.com/notarynet/notaryd/proto/group"
	"github.com/notarynet/notaryd/utxo"
)

// heartbeatDefault is how often a node that has nothing to say says so.
const heartbeatDefault = 5 * time.Second

// Config is how a node works. DefaultConfig is a good start for every field.
type Config struct {
	// MempoolDelay is how long a valid transaction waits for a rival before the vote.
	MempoolDelay time.Duration
	// FlushInterval is the longest that a vote waits for others under load.
	FlushInterval time.Duration
	// Listen is how long a node that starts waits for members to say what they know of its own chain, before
	// its first vote. It waits no longer than until a quorum has answered; 0 is not at all.
	Listen time.Duration
	// Heartbeat is the longest silence of the observation chain.
	Heartbeat time.Duration
	// MaxLeaves is the number of votes that fill an observation.
	MaxLeaves int
	// MaxInFlight bounds the transactions on their way, one of more than 16 KiB counting as several; beyond it new ones are
	// refused with OVERLOADED.
	MaxInFlight int
	// BusyAfter is how long transactions should take to become final, waiting for a place included. While they would take
	// longer, clients are refused with OVERLOADED: several times what an idle network takes.
	BusyAfter time.Duration
	// MaxHeld and MaxHeldPerOrigin bound the transactions that wait for parents or time locks, one of more than 16 KiB
	// counting as several, and HoldPatience for how long.
	MaxHeld, MaxHeldPerOrigin int
	HoldPatience              time.Duration
	// Shards is the number of tallies, and of owners of outpoints; a power of two.
	Shards int
	// StallAfter is how long a voted transaction may wait for others' votes before rounds begin.
	StallAfter time.Duration
	// DrainPatience is how long a node that was asked to stop waits for what is on its way.
	DrainPatience time.Duration
	// Contests are the rounds of contests.
	Contests conflict.Params
	// Announce has the peer of this node list its key, where the master key is at hand.
	Announce bool
	// HeldBelow is the part of this node's own trust below which what the group accepts is shown as HELD; 0 shows
	// nothing so.
	HeldBelow group.Weight
	// HeldPatience is how long a transaction that is final waits for more votes before it is called held: the quorum
	// is whoever was quickest. Who waits for finality waits for that too.
	HeldPatience time.Duration
	// MarginFloor is the number of peers below which a warning is given: that few could break safety together,
	// or stop progress.
	MarginFloor int
	// Reconcile is how often this node compares what is final here with members; more often while it is behind.
	Reconcile time.Duration
	// SnapshotEvery is the interval of snapshots, at multiples of it since 1970, the same at all members; 0 makes none.
	// SnapshotSettle is how long after each it is made: what members signed until then has come.
	SnapshotEvery, SnapshotSettle time.Duration
	// JoinPatience is how long a new node asks for a snapshot to begin from; 0 does not ask.
	JoinPatience time.Duration
	// Fees is what this node asks for before it relays or votes in round 0.
	Fees utxo.FeePolicy
}

// DefaultConfig suits a machine of two cores and a network of tens of milliseconds.
func DefaultConfig() Config {
	shards := 1
	for shards*2 <= min(runtime.GOMAXPROCS(0), 16) {
		shards *= 2
	}
	return Config{
		MempoolDelay:     5 * time.Millisecond,
		FlushInterval:    50 * time.Millisecond,
		Listen:           10 * time.Second,
		Heartbeat:        heartbeatDefault,
		MaxLeaves:        10_000,
		MaxInFlight:      20_000,
		BusyAfter:        time.Second,
		MaxHeld:          4096,
		MaxHeldPerOrigin: 1024,
		HoldPatience:     time.Minute,
		Shards:           shards,
		StallAfter:       2 * time.Second,
		DrainPatience:    5 * time.Second,
		Contests:         conflict.DefaultParams(),
		HeldBelow:        group.Total / 2,
		HeldPatience:     2 * time.Second,
		MarginFloor:      2,
		Reconcile:        30 * time.Second,
		SnapshotEvery:    time.Hour,
		SnapshotSettle:   10 * time.Second,
	}
}

// Validate reports every field that makes no sense.
func (c Config) Validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("node: "+format, args...))
		}
	}
	check(c.MempoolDelay >= 0 && c.MempoolDelay <= 10*time.Second, "mempool_delay must lie in 0s..10s, not %v", c.MempoolDelay)
	check(c.FlushInterval > 0 && c.FlushInterval <= 5*time.Second, "flush_interval must lie in 0s..5s, not %v", c.FlushInterval)
	check(c.Listen >= 0 && c.Listen <= 10*time.Minute, "listen must lie in 0s..10m, not %v", c.Listen)
	check(c.Heartbeat >= time.Second, "heartbeat must be at least 1s, not %v", c.Heartbeat)
	check(c.MaxLeaves >= group.MinLeaves && c.MaxLeaves <= 19_000, "max_leaves must lie in 2..19000, not %d", c.MaxLeaves)
	check(c.MaxInFlight > 0 && c.MaxInFlight <= 1<<24, "max_in_flight must lie in 1..%d, not %d", 1<<24, c.MaxInFlight)
	check(c.BusyAfter >= 10*time.Millisecond && c.BusyAfter <= time.Hour, "busy_after must lie in 10ms..1h, not %v", c.BusyAfter)
	check(c.MaxHeldPerOrigin > 0 && c.MaxHeld >= c.MaxHeldPerOrigin, "max_held (%d) must not be below max_held_per_origin (%d), which must be positive", c.MaxHeld, c.MaxHeldPerOrigin)
	check(c.HoldPatience > 0, "hold_patience must be positive, not %v", c.HoldPatience)
	check(c.Shards > 0 && c.Shards <= 256 && c.Shards&(c.Shards-1) == 0, "shards must be a power of two up to 256, not %d", c.Shards)
	check(c.StallAfter >= 100*time.Millisecond, "stall_after must be at least 100ms, not %v", c.StallAfter)
	check(c.HeldBelow <= group.Total, "held_below must lie in 0..%d, not %d", group.Total, c.HeldBelow)
	check(c.HeldPatience >= 0 && c.HeldPatience <= 30*time.Second, "held_patience must lie in 0s..30s, not %v", c.HeldPatience)
	check(c.MarginFloor >= 0, "margin_floor must not be negative, not %d", c.MarginFloor)
	check(c.Reconcile >= time.Second, "reconcile must be at least 1s, not %v", c.Reconcile)
	check(c.SnapshotEvery == 0 || c.SnapshotEvery >= time.Second, "snapshot_every must be 0s or at least 1s, not %v", c.SnapshotEvery)
	check(c.SnapshotSettle >= 0 && c.SnapshotSettle < cutWindow, "snapshot_settle must lie in 0s..%v, not %v", cutWindow, c.SnapshotSettle)
	check(c.JoinPatience >= 0, "join_patience must not be negative, not %v", c.JoinPatience)
	check(c.DrainPatience >= 0, "drain_patience must not be negative, not %v", c.DrainPatience)
	return errors.Join(append(errs, c.Contests.Validate())...)
}
