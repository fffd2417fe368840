package ratelimit

import (
	"net"
	"time"

	"golang.org/x/net/netutil"
)

// Listener accepts at most so many connections at once (0: any number), and gives each write
// to one a time: who does not read what it asked for is let go. A reader may
// take long over a large answer, but not stand still.
func Listener(l net.Listener, connections int, write time.Duration) net.Listener {
	if connections > 0 {
		l = netutil.LimitListener(l, connections)
	}
	return listener{Listener: l, write: write}
}

type listener struct {
	net.Listener
	write time.Duration
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, timeout: l.write}, nil
}

type conn struct {
	net.Conn
	timeout time.Duration
}

// piece is how much has to be read within the time, in bytes.
const piece = 64 << 10

func (c *conn) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		if err = c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return written, err
		}
		var n int
		n, err = c.Conn.Write(p[:min(len(p), piece)])
		written += n
		p = p[n:]
	}
	return written, err
}
