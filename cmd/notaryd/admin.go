package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	notaryv1 "github.com/notarynet/notaryd/proto/notary/v1"
)

// runs reports whether a node answers on its operator's socket.
func runs(config Config) bool {
	conn, err := net.DialTimeout("unix", config.API.Admin, time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// operate makes a call of the operator's service of a running node.
func operate(ctx context.Context, config Config, call func(context.Context, notaryv1.AdminServiceClient) error) error {
	conn, err := grpc.NewClient("unix:"+config.API.Admin, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	err = call(ctx, notaryv1.NewAdminServiceClient(conn))
	if s, ok := status.FromError(err); ok && err != nil {
		return errors.New(s.Message())
	}
	return err
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d B", n)
	case n < 10<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	case n < 10<<30:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d GiB", n>>30)
	}
}
