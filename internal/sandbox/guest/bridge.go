package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	// maxBridged bounds connections at a time, and with them descriptors and
	// buffers; more wait to be accepted.
	maxConnections = 64
	bridgeBuffer   = 32 << 10
)

// bridge passes connections from the agent's loopback on to the egress socket.
// It lives as long as init does: its goroutines end with the process.
type bridge struct {
	listener net.Listener
	socket   string
	sem      chan struct{}
}

func openBridge(ctx context.Context, addr, socket string) (*bridge, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("egress bridge: %w", err)
	}
	b := &bridge{listener: listener, socket: socket, sem: make(chan struct{}, maxConnections)}
	go b.serve(ctx)
	return b, nil
}

func (b *bridge) serve(ctx context.Context) {
	for {
		b.sem <- struct{}{}
		agentConn, err := b.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-b.sem }()
			b.proxy(ctx, agentConn)
		}()
	}
}

// join copies both ways until both ends are done.
func (b *bridge) proxy(ctx context.Context, agentConn net.Conn) {
	defer agentConn.Close()
	gatewayConn, err := new(net.Dialer).DialContext(ctx, "unix", b.socket)
	if err != nil {
		return // the agent sees its connection closed
	}
	defer gatewayConn.Close()
	var wg sync.WaitGroup
	wg.Go(func() { copyOneWay(gatewayConn, agentConn) })
	wg.Go(func() { copyOneWay(agentConn, gatewayConn) })
	wg.Wait()
}

// pass copies from src to dst and then ends dst's direction. The wrappers hide
// ReadFrom and WriteTo: with splice, answers over 200 KB came out corrupted
// under gVisor.
func copyOneWay(dst, src net.Conn) {
	buf := make([]byte, bridgeBuffer)
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf)
	if err != nil {
		// A reset must reach the other side as an end of both directions, or
		// it would wait for the rest.
		_ = dst.Close()
		_ = src.Close()
		return
	}
	if halfCloser, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = halfCloser.CloseWrite()
	}
}

func (b *bridge) Close() { _ = b.listener.Close() }
