package docker

import (
	"context"
	"errors"
	"net"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// nowhere is the egress of a job that has none: nothing listens.
type noEgress struct{}

func (noEgress) Serve(net.Listener) error { return nil }
func (noEgress) Close() error             { return nil }

// serve opens the container's way out.
func (c *sandboxContainer) serveEgress(ctx context.Context, egress sandbox.Egress) error {
	if egress == (noEgress{}) {
		return nil
	}
	listener, err := listenEgress(ctx, c.socketDir)
	if err != nil {
		return err
	}
	c.egressDone = make(chan error, 1)
	go func() {
		err := egress.Serve(listener)
		// Serve owns the listener; closing it again is for one that failed early.
		if closeErr := listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
		c.egressDone <- err
	}()
	return nil
}
