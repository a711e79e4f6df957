//go:build !planted

package conflict

// planted are the bugs that internal/sim must catch: none, in any build but its own (tag planted).
const (
	plantedQuorum      = false // 2/3 are enough
	plantedGuard       = false // the guard forgets what a contest's end does not need
	plantedLatestLock  = false // the latest lock holds, not that of the highest round
	plantedNoPull      = false // certificates are not passed on
	plantedKeptLocks   = false // locks of the rejected stay
	plantedNoSupport   = false // what is final is not supported in later rounds
	plantedLostTimers  = false // timers vanish when a contest splits
	plantedCarriedVote = false // PENDING counts in later rounds too
	plantedFreeTimers  = false // round timers run without a quorum
	plantedWindow      = false // the window gates every round
	plantedCrossEpoch  = false // PENDING counts in other epochs too
	plantedNoAdoption  = false // locks are not carried through a link
	plantedNoAsking    = false // nobody asks for what an epoch's end lacks
)

func (h *history) noteLock(*Record)     {}
func (h *history) latestLock() *Record  { return nil }
func (e *entry) carryPending(b *ballot) {}
func (e *entry) carryEpochs(b *ballot)  {}
func (c *Contests) dropTimers(*contest) {}
