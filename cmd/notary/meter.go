package main

import (
	"fmt"
	"io"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/notarynet/notaryd/proto/group"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// meter shows how the weight behind a transaction grows.
type meter interface {
	show(*notaryv1.TransactionStatus)
	close()
}

// meter draws bars on a terminal, writes plain lines elsewhere, and nothing for programs.
func (a *app) meter() meter {
	switch {
	case a.json:
		return silence{}
	case a.terminal:
		return newBars(a.err)
	}
	return &lines{out: a.err}
}

type silence struct{}

func (silence) show(*notaryv1.TransactionStatus) {}
func (silence) close()                           {}

// lines writes one line for each change.
type lines struct {
	out  io.Writer
	last string
}

func (l *lines) show(s *notaryv1.TransactionStatus) {
	votes := fmt.Sprintf("pending %7s, accepted %7s", percent(s.GetPendingWeight()), percent(s.GetAcceptedWeight()))
	if s.GetPendingWeight() == 0 && s.GetAcceptedWeight() > 0 {
		votes = fmt.Sprintf("accepted %7s", percent(s.GetAcceptedWeight())) // a node may keep nothing else once it is final
	}
	line := fmt.Sprintf("%-9s %s, more than %s needed", stateName(s.GetState()), votes, percent(s.GetQuorumWeight()))
	if line != l.last {
		fmt.Fprintln(l.out, line)
		l.last = line
	}
}

func (l *lines) close() {}

// bars draws the two votes side by side.
type bars struct {
	all               *mpb.Progress
	pending, accepted *mpb.Bar
	// most is what the bars show, in units of weight.
	most struct{ pending, accepted int64 }
}

func newBars(out io.Writer) *bars {
	b := &bars{all: mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh(), mpb.WithWidth(48))}
	b.pending, b.accepted = b.add("pending "), b.add("accepted")
	return b
}

func (b *bars) add(label string) *mpb.Bar {
	return b.all.AddBar(int64(group.Total),
		mpb.PrependDecorators(decor.Name(label+" ")),
		mpb.AppendDecorators(decor.Any(func(s decor.Statistics) string {
			text := percent(uint64(s.Current))
			if group.Quorum(group.Weight(s.Current)) {
				text += " quorum"
			}
			return text
		})),
	)
}

func (b *bars) show(s *notaryv1.TransactionStatus) {
	// Once a transaction is final a node may keep its ACCEPTED votes alone: bars do not fall back.
	b.most.pending = max(b.most.pending, int64(s.GetPendingWeight()))
	b.most.accepted = max(b.most.accepted, int64(s.GetAcceptedWeight()))
	b.pending.SetCurrent(b.most.pending)
	b.accepted.SetCurrent(b.most.accepted)
}

func (b *bars) close() {
	// Bars that are not full would be waited for.
	b.pending.Abort(false)
	b.accepted.Abort(false)
	b.all.Wait()
}
