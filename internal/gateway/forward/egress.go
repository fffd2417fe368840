package forward

import (
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// MaxConnections bounds the connections of one job.
const MaxConnections = 128

// Egress is the egress of a job that has no model. It implements sandbox.Egress.
type Egress struct {
	door   *Door
	server *http.Server
}

// NewEgress returns the egress of a door, which it closes.
func NewEgress(d *Door) *Egress {
	return &Egress{d, &http.Server{Handler: d, ReadHeaderTimeout: firstBytesTimeout, IdleTimeout: 2 * time.Minute}}
}

// Serve serves the job's connections until the listener or the egress is closed. It owns the listener.
func (e *Egress) Serve(l net.Listener) error {
	err := e.server.Serve(netutil.LimitListener(l, MaxConnections))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Close ends all connections.
func (e *Egress) Close() error {
	err := e.server.Close()
	e.door.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Busy is false: a connection that is open says nothing about whether the agent works.
func (e *Egress) Busy() bool { return false }

// Waited is 0: hosts have no door that waits for them.
func (e *Egress) Waited() time.Duration { return 0 }

// MaxWait is 0.
func (e *Egress) MaxWait() time.Duration { return 0 }
