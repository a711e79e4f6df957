package main

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http/httptest"
	"testing"
)

// A node behind TLS is talked to with --tls-ca, and by nothing else.
func TestTLS(t *testing.T) {
	w := newWorld(t).withWallet()
	// A certificate for 127.0.0.1 that the standard library keeps for tests.
	https := httptest.NewTLSServer(nil)
	t.Cleanup(https.Close)
	w.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: https.Certificate().Raw})))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() {
		served <- w.net.Serve(tls.NewListener(l, &tls.Config{Certificates: https.TLS.Certificates, NextProtos: []string{"h2"}}))
	}()
	w.around.dial = w.around.dial[1:] // over the network, not in memory
	node := l.Addr().String()
	if out := w.want(exitOK, "balance", "--node", node, "--tls-ca", "ca.pem"); out != "55 coins\n" {
		t.Errorf("ann has %s", out)
	}
	w.refused(exitUnreachable, "UNREACHABLE", "balance", "--node", node, "--tls") // an authority nobody knows
	w.refused(exitUnreachable, "UNREACHABLE", "balance", "--node", node)          // in the clear
	w.net.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
