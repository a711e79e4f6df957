package gossip

import (
	"net"
	"slices"
	"testing"
)

// Two nodes that were told of nobody meet on the local network.
func TestMDNS(t *testing.T) {
	interfaces, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	const need = net.FlagUp | net.FlagMulticast
	if !slices.ContainsFunc(interfaces, func(i net.Interface) bool { return i.Flags&need == need }) {
		t.Skip("no interface with multicast")
	}
	var nets []*Net
	for i := range 2 {
		c := testConfig(i)
		c.MDNS = true
		c.Listen = []string{"/ip4/0.0.0.0/tcp/0"}
		nets = append(nets, startNet(t, c, judge{}))
	}
	awaitNeighbours(t, nets[0], 1)
}
