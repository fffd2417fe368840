package forward

import (
	"errors"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// MaxConnections bounds the connections of one job.
const MaxConnections = 128

// Egress returns the egress of a job that has no model.
func Egress(d *Door) sandbox.Egress {
	return &egress{d, &http.Server{Handler: d, ReadHeaderTimeout: firstBytesTimeout, IdleTimeout: 2 * time.Minute}}
}

type egress struct {
	door   *Door
	server *http.Server
}

func (e *egress) Serve(l net.Listener) error {
	err := e.server.Serve(netutil.LimitListener(l, MaxConnections))
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (e *egress) Close() error {
	err := e.server.Close()
	e.door.Close()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Busy is false: a connection that is open says nothing about whether the agent works.
func (e *egress) Busy() bool             { return false }
func (e *egress) Waited() time.Duration  { return 0 }
func (e *egress) MaxWait() time.Duration { return 0 }
