package main

import (
	"net"
	"testing"
)

// TestPortsAreChosen: no port that somebody has is chosen, and each that nobody has, in the end.
func TestPortsAreChosen(t *testing.T) {
	r := portRange{9_900, 12}
	free := map[int]bool{}
	for p := r.lowest; p < r.lowest+r.count; p++ {
		if l, err := net.Listen("tcp", loopback(p)); err == nil {
			free[p] = true
			l.Close()
		}
	}
	for len(free) >= 3 {
		var n devnetNode
		if err := r.choose(&n.p2p, &n.api, &n.metric); err != nil {
			t.Fatal(err)
		}
		for _, p := range []int{n.p2p, n.api, n.metric} {
			if !free[p] {
				t.Fatalf("port %d", p)
			}
			delete(free, p)
			l, err := net.Listen("tcp", loopback(p))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
		}
	}
	var n devnetNode
	if err := r.choose(&n.p2p, &n.api, &n.metric); err == nil {
		t.Errorf("ports that others have were chosen: %+v", n)
	}
}

// TestPortsThatAreGiven: they are taken as they are, and one that somebody has is named before anything starts.
func TestPortsThatAreGiven(t *testing.T) {
	nodes := []*devnetNode{{name: "node1"}, {name: "node2"}}
	var p int
	if err := (portRange{9_920, 12}).choose(&p); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", loopback(p))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := takePorts(nodes, p-12); err == nil || nodes[1].metric != p {
		t.Errorf("port %d of %+v is taken: %v", p, nodes[1], err)
	}
}
