//go:build unix

package wallet

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// ErrBusy says that another program held a lock for as long as the caller would wait.
var ErrBusy = errors.New("another program is using it")

// retryLock is how often a lock that somebody holds is asked for again: flock cannot wait for a context.
const retryLock = 10 * time.Millisecond

// Lock keeps other programs from building a transaction of the same wallet at the same time, which
// might spend one coin twice. It waits for them until ctx ends, which is ErrBusy; the function returned
// lets them on. A program that dies lets go too.
func (s *Store) Lock(ctx context.Context, name string) (unlock func() error, err error) {
	return LockFile(ctx, filepath.Join(s.dir, "pending", name+".lock"))
}

// LockFile holds the lock that a file stands for, making the file where needed, as Lock does.
func LockFile(ctx context.Context, path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return f.Close, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			err = pause(ctx)
		case errors.Is(err, syscall.EINTR):
			err = nil
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
		}
	}
}

func pause(ctx context.Context) error {
	timer := time.NewTimer(retryLock)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
}
