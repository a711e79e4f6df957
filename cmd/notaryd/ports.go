package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// portRange is where ports lie that are chosen, not given.
type portRange struct{ lowest, count int }

// devnetPorts lie below those that systems give to outgoing connections and to whoever listens on port 0 (from 32768 on Linux):
// none of these takes one before its node listens there, or while its node is down between two lives.
var devnetPorts = portRange{10_000, 2_000}

// choose finds ports of 127.0.0.1 that nobody listens on, one after the other from a random one on.
func (r portRange) choose(ports ...*int) error {
	next := rand.IntN(r.count)
	for range r.count {
		if len(ports) == 0 {
			return nil
		}
		port := r.lowest + next
		next = (next + 1) % r.count
		if l, err := net.Listen("tcp", loopback(port)); err == nil {
			defer l.Close() // held until all are chosen
			*ports[0], ports = port, ports[1:]
		}
	}
	if len(ports) > 0 {
		return errors.New("there are not enough free ports")
	}
	return nil
}

// takePorts gives every node its ports: from a first one on, all of which must be free, or any that are where it is 0.
func takePorts(nodes []*devnetNode, first int) error {
	var all []*int
	for i, n := range nodes {
		n.p2p, n.api, n.metric = first+10*i, first+10*i+1, first+10*i+2
		all = append(all, &n.p2p, &n.api, &n.metric)
	}
	if first == 0 {
		return devnetPorts.choose(all...)
	}
	for i, p := range all {
		l, err := net.Listen("tcp", loopback(*p))
		if err != nil {
			return fmt.Errorf("port of %s: %w (choose others with --port, or --port 0)", nodes[i/3].name, err)
		}
		defer l.Close() // held until all are looked at
	}
	return nil
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
