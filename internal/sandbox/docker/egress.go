package docker

import (
	"context"
	"errors"
	"net"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// nowhere is the egress of a job that has none: nothing listens.
type nowhere struct{}

func (nowhere) Serve(net.Listener) error { return nil }
func (nowhere) Close() error             { return nil }

// serve opens the container's way out.
func (c *cell) serve(ctx context.Context, egress sandbox.Egress) error {
	if egress == (nowhere{}) {
		return nil
	}
	listener, err := listen(ctx, c.folder)
	if err != nil {
		return err
	}
	c.serving = make(chan error, 1)
	go func() {
		err := egress.Serve(listener)
		// Serve owns the listener; closing it again is for one that failed early.
		if closeErr := listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
			err = errors.Join(err, closeErr)
		}
		c.serving <- err
	}()
	return nil
}
