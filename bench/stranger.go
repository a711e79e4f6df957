package bench

import (
	"context"
	"errors"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// stranger is a client of all nodes at an address of its own on this machine, so that nodes tell it from others.
type stranger struct {
	conns []*grpc.ClientConn
	apis  []notaryv1.NotaryServiceClient // in the order of the nodes
}

func newStranger(n *Network, address string) (*stranger, error) {
	s := new(stranger)
	dial := func(ctx context.Context, target string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
		return d.DialContext(ctx, "tcp", target)
	}
	for _, node := range n.file.Nodes {
		conn, err := grpc.NewClient("passthrough:///"+node.API, grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
		s.conns = append(s.conns, conn)
		s.apis = append(s.apis, notaryv1.NewNotaryServiceClient(conn))
	}
	return s, nil
}

func (s *stranger) close() error {
	var errs []error
	for _, c := range s.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// strangers are several, each at another address.
type strangers []*stranger

func newStrangers(n *Network, count int) (all strangers, err error) {
	for i := range count {
		s, err := newStranger(n, fmt.Sprint("127.0.1.", i+1))
		if err != nil {
			return nil, errors.Join(err, all.close())
		}
		all = append(all, s)
	}
	return all, nil
}

func (all strangers) close() error {
	var errs []error
	for _, s := range all {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}
