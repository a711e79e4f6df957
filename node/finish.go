package node

import (
	"time"

	"github.com/notarynet/notaryd/node/lifecycle"
)

// finish takes a flight to its commit on behalf of its goroutine, where that rests and finality leads to nothing else
// (lifecycle.Machine.Unhindered): it need not wake for that. False says that finality is for the flight. It does not block, since whoever
// counts votes calls it: the committer waits for the batcher, and the batcher for who counts.
func (sh *shell) finish(f *flight, end finality) bool {
	inputs, seized := f.box.seize(f.machine.Unhindered)
	if !seized {
		return false
	}
	f.overtaken.Store(true)
	f.edges = end.edges
	now := time.Now()
	for _, in := range inputs {
		f.pass(in, now)
	}
	final := final(f, f.pass(end.Counted, now), now)
	sh.hands.release(f.bench)
	select {
	case sh.committer.queue <- commit{f, final}:
	default:
		sh.hands.running.Go(func() {
			if !sh.committer.commit(sh.ctx, f, final) {
				sh.landed(f)
			}
		})
	}
	return true
}

// pass steps the machine of a flight that nothing hinders, and returns the commit that it asks for.
func (f *flight) pass(in lifecycle.Input, now time.Time) (asked lifecycle.Commit) {
	for _, effect := range f.machine.Step(in) {
		switch e := effect.(type) {
		case lifecycle.Report:
			f.report(e.State, e.Err, now)
		case lifecycle.Commit:
			asked = e
		}
	}
	return asked
}
