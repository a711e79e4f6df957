package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
	"github.com/notarynet/notaryd/proto/refusal"
)

// adminService is the operator's service.
type adminService struct {
	notaryv1.UnsafeAdminServiceServer // a method that is missing does not compile

	operator Operator
	trust    Trust
}

// Drain implements notaryv1.AdminServiceServer. The client's deadline bounds the wait.
func (s *adminService) Drain(ctx context.Context, _ *notaryv1.DrainRequest) (*notaryv1.DrainResponse, error) {
	left, err := s.operator.Drain(ctx)
	if err != nil {
		return nil, err
	}
	return &notaryv1.DrainResponse{InFlight: left}, nil
}

// Stop implements notaryv1.AdminServiceServer.
func (s *adminService) Stop(context.Context, *notaryv1.StopRequest) (*notaryv1.StopResponse, error) {
	s.operator.Stop()
	return &notaryv1.StopResponse{}, nil
}

// SetLogLevel implements notaryv1.AdminServiceServer.
func (s *adminService) SetLogLevel(_ context.Context, req *notaryv1.SetLogLevelRequest) (*notaryv1.SetLogLevelResponse, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	level, ok := levels[req.GetLevel()]
	if !ok {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "level", "want debug, info, warn or error, not %.32q", req.GetLevel())
	}
	previous := s.operator.SetLogLevel(level)
	return &notaryv1.SetLogLevelResponse{Previous: strings.ToLower(previous.String())}, nil
}

func (s *adminService) AddPeer(context.Context, *notaryv1.AddPeerRequest) (*notaryv1.AddPeerResponse, error) {
	return nil, notBuilt("AdminService/AddPeer")
}

func (s *adminService) BanPeer(context.Context, *notaryv1.BanPeerRequest) (*notaryv1.BanPeerResponse, error) {
	return nil, notBuilt("AdminService/BanPeer")
}

// Backup implements notaryv1.AdminServiceServer.
func (s *adminService) Backup(ctx context.Context, req *notaryv1.BackupRequest) (*notaryv1.BackupResponse, error) {
	if !filepath.IsAbs(req.GetDirectory()) {
		return nil, refusal.New(notaryv1.Reason_REASON_INVALID_ARGUMENT, "directory", "want an absolute path")
	}
	bytes, err := s.operator.Backup(ctx, filepath.Clean(req.GetDirectory()))
	if err != nil {
		return nil, err
	}
	return &notaryv1.BackupResponse{Bytes: bytes}, nil
}

// Prune implements notaryv1.AdminServiceServer.
func (s *adminService) Prune(ctx context.Context, req *notaryv1.PruneRequest) (*notaryv1.PruneResponse, error) {
	return s.operator.Prune(ctx, req.GetOlderThanMs(), req.GetKeepAddresses())
}

// ErrSocketInUse says that somebody answers on the admin socket: most likely this node runs already.
var ErrSocketInUse = errors.New("another process answers on this socket")

// ListenAdmin makes the admin socket at path, of mode 0600 from its first moment: it is made inside a
// directory that only this user can enter and moved to its place. A socket left behind by a dead
// process is replaced; one that answers is ErrSocketInUse. The file is removed when the listener closes.
func ListenAdmin(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("%s: %w", path, ErrSocketInUse)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode().Type() != os.ModeSocket {
		return nil, fmt.Errorf("%s: is in the way and no socket", path)
	}
	private, err := os.MkdirTemp(filepath.Dir(path), ".s")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(private)
	fresh := filepath.Join(private, "s")
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: fresh, Net: "unix"})
	if err != nil {
		return nil, err
	}
	listener.SetUnlinkOnClose(false)
	if err := errors.Join(os.Chmod(fresh, 0o600), os.Rename(fresh, path)); err != nil {
		listener.Close()
		return nil, err
	}
	made, err := os.Lstat(path)
	if err != nil {
		listener.Close()
		return nil, err
	}
	return &adminListener{UnixListener: listener, path: path, made: made}, nil
}

// adminListener removes its file when it closes.
type adminListener struct {
	*net.UnixListener
	path string
	made os.FileInfo
}

// Close implements net.Listener. A file that another process has put in its place meanwhile stays.
func (l *adminListener) Close() error {
	err := l.UnixListener.Close()
	if now, e := os.Lstat(l.path); e == nil && os.SameFile(now, l.made) {
		return errors.Join(err, os.Remove(l.path))
	}
	return err
}
