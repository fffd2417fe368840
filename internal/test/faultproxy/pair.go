package faultproxy

import (
	"context"
	"net"
	"time"
)

// piece is how much is read at once, in bytes.
const piece = 32 << 10

// pair is one connection of a client's, and the one that it is passed on to.
type pair struct {
	proxy       *Proxy
	front, back net.Conn
	ctx         context.Context // ends with the connection
	end         context.CancelFunc
}

func newPair(p *Proxy, front, back net.Conn) *pair {
	ctx, end := context.WithCancel(p.ctx)
	return &pair{proxy: p, front: front, back: back, ctx: ctx, end: end}
}

// cut may be called any number of times, by anyone.
func (c *pair) cut() {
	c.end()
	if t, ok := c.front.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a reset, as of a process that was killed
	}
	_ = c.front.Close()
	_ = c.back.Close()
}

// pass brings what is said to the other side, piece by piece, for as long as
// neither hangs up.
func (c *pair) pass(to, from net.Conn, held func(Fault) bool) {
	buffer := make([]byte, piece)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			if !c.admit(held) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			closeWrite(to)
			return
		}
	}
}

// admit waits until the next piece may pass; false: the connection is cut.
func (c *pair) admit(held func(Fault) bool) bool {
	for delayed := false; ; {
		fault, changed := c.proxy.state()
		var late <-chan time.Time
		switch {
		case held(fault):
		case fault.Delay > 0 && !delayed:
			late = time.After(fault.Delay)
		default:
			return c.ctx.Err() == nil
		}
		select {
		case <-c.ctx.Done():
			return false
		case <-changed:
		case <-late:
			delayed = true
		}
	}
}

// closeWrite says that nothing more will come, where the connection can.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		_ = half.CloseWrite() // of a connection that may be cut already
	}
}
