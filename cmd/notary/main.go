// Command notary is the wallet and the merchant's client of a notary network: it pays, stamps files,
// fetches acceptance proofs, and verifies them offline. `notary help exit-codes` lists what scripts can
// rely on.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// version is set when a release is built.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// What does not end with ctx, such as reading a long file, ends with the second signal.
	context.AfterFunc(ctx, stop)
	code := run(ctx, system(ctx), os.Args[1:])
	stop()
	os.Exit(code)
}
