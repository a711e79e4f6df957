package bench

import (
	"context"
	"errors"
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
