package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// What a node wants of its machine.
const (
	wantDescriptors = 4096
	// wantBuffer is what QUIC wants to set for its UDP sockets, in bytes.
	wantBuffer = 7_500_000
	// unsynced is the bit of the kernel clock that says that nothing keeps it right.
	unsynced = 0x40
)

// checkDisk compares free space with the reserve.
func checkDisk(config Config) finding {
	var s syscall.Statfs_t
	if err := syscall.Statfs(config.Data, &s); err != nil {
		return finding{"disk", skipped, fmt.Sprintf("%s: %v", config.Data, err), ""}
	}
	free := s.Bavail * uint64(s.Bsize)
	detail := fmt.Sprintf("%s free, %s reserved", bytesText(free), bytesText(config.Store.ReserveBytes))
	const fix = "make room, or drop old observations: notaryd prune DIR --older-than 720h"
	switch {
	case free < config.Store.ReserveBytes:
		return finding{"disk", problem, detail + ": the node does not vote", fix}
	case free < 2*config.Store.ReserveBytes:
		return finding{"disk", warning, detail, fix}
	}
	return finding{"disk", fine, detail, ""}
}

// checkDescriptors looks at how many files may be open. The node's own limit is that of its service.
func checkDescriptors() finding {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return finding{"descriptors", skipped, err.Error(), ""}
	}
	detail := fmt.Sprintf("%d files may be open (%d at most)", r.Cur, r.Max)
	if r.Max < wantDescriptors {
		return finding{"descriptors", warning, detail, fmt.Sprintf("LimitNOFILE=65536 in the unit, or ulimit -n %d", wantDescriptors)}
	}
	return finding{"descriptors", fine, detail, ""}
}

// checkBuffers looks at the kernel's limits of UDP buffers, in a folder such as /proc/sys/net/core, where the node
// listens on QUIC.
func checkBuffers(config Config, dir string) finding {
	quic := false
	for _, l := range config.P2P.Listen {
		quic = quic || strings.Contains(l, "/quic")
	}
	if !quic {
		return finding{"udp buffers", skipped, "the node does not listen on QUIC", ""}
	}
	for _, name := range []string{"rmem_max", "wmem_max"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return finding{"udp buffers", skipped, err.Error(), ""}
		}
		n, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			return finding{"udp buffers", skipped, err.Error(), ""}
		}
		if n < wantBuffer {
			return finding{"udp buffers", warning, fmt.Sprintf("net.core.%s is %d: QUIC loses packets under load", name, n),
				fmt.Sprintf("sysctl -w net.core.%s=%d, and in /etc/sysctl.d", name, wantBuffer)}
		}
	}
	return finding{"udp buffers", fine, fmt.Sprintf("at least %d bytes", wantBuffer), ""}
}

// checkKernelClock asks the kernel whether anything keeps its clock right.
func checkKernelClock() finding {
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err != nil {
		return finding{"time service", skipped, err.Error(), ""}
	}
	if t.Status&unsynced != 0 {
		return finding{"time service", warning, "nothing keeps the clock of this machine right, says its kernel", "run chrony, systemd-timesyncd or another NTP client"}
	}
	return finding{"time service", fine, "the clock is kept right", ""}
}
