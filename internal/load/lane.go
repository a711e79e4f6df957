package load

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// lane is the part of a load that goes over one stream. One goroutine sends, another one receives.
type lane struct {
	plan   *Plan
	stream Stream
	// shed has a busy node turn transactions away; without it the node holds the stream back.
	shed bool
	// again takes a request that was turned away, to be sent once more after a time; nil where nothing is.
	again func(request, time.Duration)
	// over, where set, is told of requests that have their last answer.
	over func(r request, reached bool)
	out  Outcome // To, Refused and Failed are the receiver's, Sent and Late the sender's

	mu       sync.Mutex
	sequence uint64             // of the next request
	open     map[uint64]request // sent and not answered
}

// transfer is a transaction under way.
type transfer struct {
	index int // in Plan.Txs
	since time.Time
	open  int // requests without their last answer
}

// request asks for a transfer at a stage.
type request struct {
	*transfer
	stage Stage
}

// requests are what is sent for a transfer, that at Plan.Stage first.
func (l *lane) requests(t *transfer, sampled bool) []request {
	all := []request{{t, l.plan.Stage}}
	for s := Pending; sampled && s < Stages; s++ {
		if s != l.plan.Stage {
			all = append(all, request{t, s})
		}
	}
	t.open = len(all)
	return all
}

// send sends requests: those at Plan.Stage in one message, and after it each of the others in one of its own.
func (l *lane) send(all []request) error {
	for _, message := range l.messages(all) {
		if err := l.stream.Send(message); err != nil {
			return err
		}
	}
	return nil
}

// messages numbers requests and notes them as open.
func (l *lane) messages(all []request) []*notaryv1.SubmitTransactionsRequest {
	l.mu.Lock()
	defer l.mu.Unlock()
	var main *notaryv1.SubmitTransactionsRequest
	var messages []*notaryv1.SubmitTransactionsRequest
	add := func(r request) *notaryv1.SubmitTransactionsRequest {
		l.open[l.sequence] = r
		l.sequence++
		message := r.stage.ask(l.sequence-1, l.plan.Txs[r.index])
		message.ShedLoad = l.shed
		return message
	}
	for _, r := range all {
		switch {
		case r.stage != l.plan.Stage:
		case main == nil:
			main = add(r)
			messages = append(messages, main)
		default:
			main.More = append(main.More, add(r).Transaction)
		}
	}
	for _, r := range all {
		if r.stage != l.plan.Stage {
			messages = append(messages, add(r))
		}
	}
	return messages
}

// receive takes the answers until the stream ends.
func (l *lane) receive() error {
	for {
		answer, err := l.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		err = l.answered(answer)
		for _, more := range answer.GetMore() {
			err = errors.Join(err, l.answered(more))
		}
		if err != nil {
			return err
		}
	}
}

// answered notes what came of one request.
func (l *lane) answered(answer *notaryv1.SubmitTransactionsResponse) error {
	l.mu.Lock()
	r, ok := l.open[answer.GetSequence()]
	delete(l.open, answer.GetSequence())
	l.mu.Unlock()
	if !ok {
		return fmt.Errorf("load: an answer to %d, which was not asked or has its answer", answer.GetSequence())
	}
	main := r.stage == l.plan.Stage
	if main && l.plan.Answered != nil {
		l.plan.Answered()
	}
	rejection := answer.GetStatus().GetRejection()
	overloaded := rejection.GetReason() == notaryv1.Reason_REASON_OVERLOADED
	reached := r.stage.reached(answer)
	switch {
	case overloaded && main:
		l.out.Refused++
	case reached:
		l.out.To[r.stage] = append(l.out.To[r.stage], time.Since(r.since))
	case main:
		l.out.Failed++
	}
	switch {
	case overloaded && l.again != nil:
		l.again(r, time.Duration(max(rejection.GetRetryAfterMs(), 1))*time.Millisecond)
	case l.over != nil:
		l.over(r, reached)
	}
	return nil
}

// leave counts as failed what never had an answer, and says how many requests that are.
func (l *lane) leave() int {
	for _, r := range l.open {
		if r.stage == l.plan.Stage {
			l.out.Failed++
		}
	}
	return len(l.open)
}
