// Package netlab is a network of several hosts on one machine, for tests: each host is a Linux network namespace with one
// interface, and all of them hang on a switch in this process. What the switch does to a frame is set for each ordered
// pair of hosts: nothing, loss, delay, reordering, or a cut that may be one-way.
//
// Real TCP runs across it, with its retransmissions and time-outs. It needs root, Linux with tun, and ip of iproute2.
package netlab
