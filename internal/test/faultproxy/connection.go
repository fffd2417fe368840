package faultproxy

import (
	"context"
	"net"
	"time"
)

// bufferSize is the size of one read in bytes. A Fault acts on each read.
const bufferSize = 32 << 10

// connection is a client's connection and the one to the target.
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

// reset closes both connections. It may be called repeatedly and concurrently.
func (c *connection) reset() {
	c.cancel()
	if t, ok := c.client.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // sends a reset, as the kernel does for a killed process
	}
	_ = c.client.Close()
	_ = c.upstream.Close()
}

// forward copies from src to dst until one of them closes. It does not forward what it has read while paused reports
// true for the current fault.
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

// waitToForward waits until the fault allows the next write. It returns false if the connection was closed.
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

// closeWrite closes the sending direction of a connection that supports it.
func closeWrite(c net.Conn) {
	if halfCloser, ok := c.(interface{ CloseWrite() error }); ok {
		_ = halfCloser.CloseWrite() // fails if the connection is already closed
	}
}
