package api

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
)

// What a token pays for of what is read on behalf of a client, and what each record counts as at least, in bytes: as much as is
// read from the disk at once, or, of what stands in one place in the order in which it is read, as much as it takes to send it.
const (
	tokenBytes  = 64 << 10
	recordBytes = 4 << 10
	entryBytes  = 1 << 9
)

// submissionBytes is what a token pays for of a transaction that is submitted: they have room for tens of signatures to be verified, and everybody
// keeps what becomes final.
const submissionBytes = 4 << 10

// Pay charges the client of a call for what is read or computed for it, in bytes as Backends count them, as that is done, and returns when
// the client may have more: at once, or when it has paid. It returns the context's error when the call has ended meanwhile.
type Pay = func(bytes int) error

// spending charges the client of a call for records as they are read, whatever it has, and reports whether it has tokens left.
func (g *guard) spending(ctx context.Context) func(bytes int) bool {
	client := callOf(ctx).client
	return func(bytes int) bool {
		return g.table.Charge(client, float64(max(bytes, recordBytes))/tokenBytes)
	}
}

// paying is the Pay of a call, for records that count as so many bytes at the least.
func (g *guard) paying(ctx context.Context, least int) Pay {
	client := callOf(ctx).client
	return func(bytes int) error {
		wait := g.table.Work(client, float64(max(bytes, least))/tokenBytes)
		if wait == 0 {
			return ctx.Err()
		}
		late := time.NewTimer(wait)
		defer late.Stop()
		select {
		case <-late.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// inTurn does what is known to cost much only when it is done: for one client one at a time, once it has paid for what was before. What it
// costs is owed then, and does not keep its answer waiting.
func inTurn[A any](ctx context.Context, g *guard, work func(Pay) (A, error)) (answer A, err error) {
	if turn := g.table.Turn(callOf(ctx).client); turn != nil {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return answer, ctx.Err()
		}
	}
	if err := g.paying(ctx, 0)(0); err != nil {
		return answer, err
	}
	client := callOf(ctx).client
	return work(func(bytes int) error {
		g.table.Work(client, float64(max(bytes, recordBytes))/tokenBytes)
		return ctx.Err()
	})
}

// answered charges a client for what a long answer has beyond what the token of its call pays for.
func (g *guard) answered(c *call, answer any) {
	if m, ok := answer.(proto.Message); ok {
		if size := proto.Size(m); size > tokenBytes {
			g.table.Charge(c.client, float64(size)/tokenBytes-1)
		}
	}
}

// submitted charges a client for what a large transaction has beyond what the token of its call pays for. What the client did not have it
// owes.
func (g *guard) submitted(c *call, transaction []byte) {
	if more := len(transaction) - submissionBytes; more > 0 {
		g.table.Charge(c.client, float64(more)/submissionBytes)
	}
}
