package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// logger takes what pebble says. Pebble's own Fatalf is the only way in which it reports a log that
// cannot be written; were it to return, the write would be taken for done. It ends the process.
type logger struct {
	log  *slog.Logger
	exit func(code int)
	fail func(error) error

	backgroundErrors atomic.Uint64
	stalls           atomic.Uint64
	stalledNanos     atomic.Int64
	stalledSince     atomic.Int64
}

var _ pebble.Logger = (*logger)(nil)

// Infof implements pebble.Logger. Flushes and compactions are told here: only for debugging.
func (l *logger) Infof(format string, args ...any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("store", "pebble", fmt.Sprintf(format, args...))
	}
}

// Errorf implements pebble.Logger.
func (l *logger) Errorf(format string, args ...any) {
	l.log.Error("store", "pebble", fmt.Sprintf(format, args...))
}

// Fatalf implements pebble.Logger: it marks the store as failed and ends the process.
func (l *logger) Fatalf(format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.log.Error("store failed, the process ends", "pebble", err.Error())
	_ = l.fail(err)
	l.exit(1)
}

// background takes errors of flushes and compactions. Pebble tries them again for ever. For want of room that is
// right, since there may be some again; else the disk cannot be trusted, and it ends the process.
func (l *logger) background(err error) {
	l.backgroundErrors.Add(1)
	if errors.Is(err, syscall.ENOSPC) {
		l.log.Error("store: no room in the background, will be tried again", "error", err.Error())
		return
	}
	l.Fatalf("in the background: %v", err)
}

func (l *logger) stallBegin(info pebble.WriteStallBeginInfo) {
	l.stalls.Add(1)
	l.stalledSince.Store(time.Now().UnixNano())
	l.log.Warn("store: writes wait", "reason", info.Reason)
}

func (l *logger) stallEnd() {
	l.stalledNanos.Add(time.Now().UnixNano() - l.stalledSince.Load())
}
