package ratelimit

import (
	"errors"
	"io"
	"syscall"
	"time"
)

// minBodyRate is the speed at which a body must arrive in the long run, in bytes per second.
const minBodyRate = 16 << 10

// readDeadliner sets the deadline for reads of a connection, as an *http.ResponseController does.
type readDeadliner interface {
	SetReadDeadline(deadline time.Time) error
}

// Body is the body of a request whose client must not stall. The client has a time-out to begin with, and one second
// more for each 16 KiB that arrive, but never more than the time-out: that is how long a client may stall. Time in
// which the server does not read does not count.
type Body struct {
	body       io.ReadCloser
	connection readDeadliner
	timeout    time.Duration
	remaining  time.Duration
	onCut      func()
}

// NewBody bounds the time that a body takes. The deadline holds from now on: net/http reads a part of a body that no
// handler reads. onCut is called when the client disconnects in the middle of the body.
func NewBody(body io.ReadCloser, connection readDeadliner, timeout time.Duration, onCut func()) *Body {
	b := &Body{body: body, connection: connection, timeout: timeout, remaining: timeout, onCut: onCut}
	b.setDeadline(time.Now())
	return b
}

// Read reads the body. After its end the connection has no deadline.
func (b *Body) Read(p []byte) (int, error) {
	began := time.Now()
	b.setDeadline(began)
	n, err := b.body.Read(p)
	b.remaining = min(b.remaining+time.Duration(n)*time.Second/minBodyRate-time.Since(began), b.timeout)
	switch {
	case err == nil:
	case errors.Is(err, io.EOF):
		_ = b.connection.SetReadDeadline(time.Time{})
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		b.onCut()
	}
	return n, err
}

// Close closes the body.
func (b *Body) Close() error { return b.body.Close() }

func (b *Body) setDeadline(now time.Time) {
	_ = b.connection.SetReadDeadline(now.Add(b.remaining)) // recorders in tests do not support it and do not need it
}
