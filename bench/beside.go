package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Two programs in one network do the same work at the same time, side by side: what its neighbours do to a machine, which moves the figures of runs by
// tens of per cent, it does to both.

// meetPatience is how long nodes that were started anew may take to find each other.
const meetPatience = time.Minute

// beside reports whether the i-th node of a network runs the other program: half of any four do, neither the first nor the last of them.
func beside(i int) bool { return i%4 == 1 || i%4 == 2 }

// swap has some nodes of a new network run another program.
func (n *Network) swap(ctx context.Context, program string, settings []string) error {
	n.others = make([]*exec.Cmd, len(n.Nodes))
	for i, node := range n.file.Nodes {
		if !beside(i) {
			continue
		}
		if err := syscall.Kill(n.pids[i], syscall.SIGTERM); err != nil {
			return err
		}
		for syscall.Kill(n.pids[i], 0) == nil { // until the devnet has reaped it
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(20 * time.Millisecond):
			}
		}
		args := []string{"run", filepath.Join(n.dir, node.Name)}
		for _, s := range settings {
			args = append(args, "--set", s)
		}
		log, err := os.Create(filepath.Join(n.dir, node.Name, "beside.log"))
		if err != nil {
			return err
		}
		cmd := exec.Command(program, args...)
		cmd.Stdout, cmd.Stderr = log, log
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		err = errors.Join(cmd.Start(), log.Close())
		if err != nil {
			return fmt.Errorf("%s as %s: %w", program, node.Name, err)
		}
		n.others[i], n.pids[i] = cmd, cmd.Process.Pid
	}
	return n.meet(ctx)
}

// meet waits until every node is connected with all others.
func (n *Network) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, meetPatience)
	defer cancel()
	for i, node := range n.Nodes {
		for {
			info, err := node.Network(ctx)
			if err == nil && int(info.GetConnectedPeers()) >= len(n.Nodes)-1 {
				break
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("bench: node %d does not find the others: %w", i, errors.Join(err, ctx.Err()))
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// stopOthers ends the processes that swap has started.
func (n *Network) stopOthers() (err error) {
	for _, cmd := range n.others {
		if cmd == nil {
			continue
		}
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		late := time.AfterFunc(40*time.Second, func() { _ = cmd.Process.Kill() })
		if e := cmd.Wait(); e != nil {
			err = errors.Join(err, fmt.Errorf("a node beside the others: %w", e))
		}
		if !late.Stop() {
			err = errors.Join(err, errors.New("a node beside the others did not stop and was killed"))
		}
	}
	return err
}

// besideRatio is the processor time that the nodes of the other program took over that of as many of the others; 0 where there are not as many.
func besideRatio(each []time.Duration) float64 {
	if len(each) == 0 || len(each)%4 != 0 {
		return 0
	}
	var other, own time.Duration
	for i, cpu := range each {
		if beside(i) {
			other += cpu
		} else {
			own += cpu
		}
	}
	if own == 0 {
		return 0
	}
	return float64(other) / float64(own)
}
