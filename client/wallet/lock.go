//go:build unix

package wallet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// Lock keeps other programs from building a transaction of the same wallet at the same time, which
// might spend one coin twice. It waits for them; the function returned lets them on. A program that
// dies lets go too.
func (s *Store) Lock(name string) (unlock func() error, err error) {
	return LockFile(filepath.Join(s.dir, "pending", name+".lock"))
}

// LockFile holds the lock that a file stands for, making the file where needed.
func LockFile(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", path, err), f.Close())
	}
	return f.Close, nil
}
