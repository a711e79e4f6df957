package node

import "context"

// begun waits until the node has joined the network and taken up what an earlier life left undecided.
// Calls may come before that, since the API is served first; before, the owners answer nobody.
func (sh *shell) begun(ctx context.Context) error {
	select {
	case <-sh.up:
		return nil
	default:
	}
	select {
	case <-sh.up:
		return nil
	case <-sh.stopping:
		return shuttingDown()
	case <-ctx.Done():
		return ctx.Err()
	}
}
