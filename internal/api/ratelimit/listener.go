package ratelimit

import (
	"net"
	"time"

	"golang.org/x/net/netutil"
)

// Listener accepts at most so many connections at once (0: any number), and gives each write
// to one a time: who does not read what it asked for is let go. A reader may
// take long over a large answer, but not stand still.
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

// piece is how much has to be read within the time, in bytes.
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
