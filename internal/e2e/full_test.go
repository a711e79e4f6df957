package e2e

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/notarynet/notaryd/observation"
	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// smallDisk mounts a disk of a size that the kernel holds it to.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no disk of a fixed size: mounting a tmpfs needs root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// free is what a disk has left, in bytes.
func free(t *testing.T, dir string) uint64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return s.Bavail * uint64(s.Bsize)
}

// fill writes a file until a disk has no more than some bytes left.
func fill(t *testing.T, dir, name string, left uint64) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for free(t, dir) > left {
		if _, err := f.Write(block); err != nil {
			if errors.Is(err, syscall.ENOSPC) {
				break
			}
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk: a node on a disk that fills up refuses to vote before it is full, starts again when it is full to the
// last byte, reads and prunes, and votes again, from where it was, once there is room.
func TestFullDisk(t *testing.T) {
	const reserve = 16 << 20
	disk := smallDisk(t, "64m")
	n := start(t, 4, setup{coins: 30, down: []int{3}})
	v := n.nodes[3]
	v.dir, v.reserve = filepath.Join(disk, "store"), reserve
	v.start(t)
	n.meet(t)
	first := v.pays(t, bob, 0, 0)
	n.allFinal(t, first)

	fill(t, disk, "some", reserve-4<<20)
	v.mustSubmit(t, n.pay(bob, 0, 1), waitNone) // it has no room for its vote
	eventually(t, "the node to see that there is too little room, and nothing else in its way", func() bool {
		problems, _ := v.running.node.Ready()
		return len(problems) == 1 && strings.HasPrefix(problems[0], "no room on disk")
	})
	_, err := v.submit(t, n.pay(bob, 0, 2).Raw, waitNone)
	wantReason(t, err, notaryv1.Reason_REASON_STORE_FULL)
	own := observation.ChainID{Key: v.key.Public()}
	height := v.running.store.Head(own).Height
	during := n.nodes[0].pays(t, carol, 0, 20) // the others go on
	if got := v.running.store.Head(own).Height; got > height+1 {
		t.Errorf("without room it voted on, from height %d to %d", height, got)
	}

	v.kill(t)
	fill(t, disk, "all", 0)
	if got := free(t, disk); got != 0 {
		t.Fatalf("%d bytes are left", got)
	}
	v.start(t)
	if !v.final(t, first.ID) {
		t.Error("what was final is not, on a full disk")
	}
	if _, err := v.running.node.Prune(t.Context(), 3_600_000, []string{text(n, addressOf(bob))}); err != nil {
		t.Errorf("pruning on a full disk: %v", err)
	}
	_, err = v.submit(t, n.pay(bob, 0, 21).Raw, waitNone)
	wantReason(t, err, notaryv1.Reason_REASON_STORE_FULL)

	if err := errors.Join(os.Remove(filepath.Join(disk, "some")), os.Remove(filepath.Join(disk, "all"))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the node to be ready again", func() bool {
		problems, _ := v.running.node.Ready()
		return len(problems) == 0
	})
	n.allFinal(t, during, v.pays(t, carol, 0, 22))
	if _, err := os.Stat(filepath.Join(v.dir, "ballast")); err != nil {
		t.Errorf("the ballast was not made again: %v", err)
	}
	n.settled(t) // what was submitted as the disk filled up, too
	n.equalLedgers(t)
	n.honest(t)
}
