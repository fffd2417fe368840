package process

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"
)

// ServeHTTP serves handler on an address of its own (host:port) until ctx ends. Requests in progress are cut then.
// purpose is for the error if the address cannot be used.
func ServeHTTP(ctx context.Context, addr, purpose string, handler http.Handler) error {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return fmt.Errorf("listen on %s for %s (is another server there? choose another address): %w", addr, purpose, err)
	}
	return ServeListener(ctx, l, handler)
}

// ServeListener serves handler on a listener until ctx ends, and closes it. Requests in progress are cut then.
func ServeListener(ctx context.Context, l net.Listener, handler http.Handler) error {
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		return server.Close()
	})
	return g.Wait()
}
