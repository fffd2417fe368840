package ratelimit

import (
	"net"
	"time"

	"golang.org/x/net/netutil"
)

// NewListener returns a listener that has at most maxConnections open at the same time (0: no limit). A client that
// does not read 64 KiB within writeTimeout is disconnected. A client may read a large response slowly, but it must not
// stall.
func NewListener(l net.Listener, maxConnections int, writeTimeout time.Duration) net.Listener {
	if maxConnections > 0 {
		l = netutil.LimitListener(l, maxConnections)
	}
	return listener{Listener: l, writeTimeout: writeTimeout}
}

type listener struct {
	net.Listener
	writeTimeout time.Duration
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, writeTimeout: l.writeTimeout}, nil
}

type conn struct {
	net.Conn
	writeTimeout time.Duration
}

// maxWriteBytes is how much a client must read within the time-out.
const maxWriteBytes = 64 << 10

func (c *conn) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		if err = c.SetWriteDeadline(time.Now().Add(c.writeTimeout)); err != nil {
			return written, err
		}
		var n int
		n, err = c.Conn.Write(p[:min(len(p), maxWriteBytes)])
		written += n
		p = p[n:]
	}
	return written, err
}
