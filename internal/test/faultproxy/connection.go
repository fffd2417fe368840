package faultproxy

import (
	"context"
	"net"
	"time"
)

// piece is how much is read at once, in bytes.
const bufferSize = 32 << 10

// pair is one connection of a client's, and the one that it is passed on to.
type connection struct {
	proxy            *Proxy
	client, upstream net.Conn
	ctx              context.Context // ends with the connection
	cancel           context.CancelFunc
}

func newConnection(p *Proxy, client, upstream net.Conn) *connection {
	ctx, cancel := context.WithCancel(p.ctx)
	return &connection{proxy: p, client: client, upstream: upstream, ctx: ctx, cancel: cancel}
}

// cut may be called any number of times, by anyone.
func (c *connection) reset() {
	c.cancel()
	if t, ok := c.client.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a reset, as of a process that was killed
	}
	_ = c.client.Close()
	_ = c.upstream.Close()
}

// pass brings what is said to the other side, piece by piece, for as long as
// neither hangs up.
func (c *connection) forward(dst, src net.Conn, paused func(Fault) bool) {
	buffer := make([]byte, bufferSize)
	for {
		n, err := src.Read(buffer)
		if n > 0 {
			if !c.waitToForward(paused) {
				return
			}
			if _, err := dst.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			closeWrite(dst)
			return
		}
	}
}

// admit waits until the next piece may pass; false: the connection is cut.
func (c *connection) waitToForward(paused func(Fault) bool) bool {
	for delayed := false; ; {
		fault, changed := c.proxy.state()
		var timer <-chan time.Time
		switch {
		case paused(fault):
		case fault.Delay > 0 && !delayed:
			timer = time.After(fault.Delay)
		default:
			return c.ctx.Err() == nil
		}
		select {
		case <-c.ctx.Done():
			return false
		case <-changed:
		case <-timer:
			delayed = true
		}
	}
}

// closeWrite says that nothing more will come, where the connection can.
func closeWrite(c net.Conn) {
	if halfCloser, ok := c.(interface{ CloseWrite() error }); ok {
		_ = halfCloser.CloseWrite() // of a connection that may be cut already
	}
}
