package guest

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
)

const (
	// maxConnections limits concurrent connections, and so the file descriptors and buffers of init. Further
	// connections wait in the listener's queue.
	maxConnections = 128
	bridgeBuffer   = 32 << 10
)

// bridge forwards connections from the agent's loopback address to the egress socket. Its goroutines end with init.
type bridge struct {
	ctx      context.Context
	listener net.Listener
	socket   string
	sem      chan struct{}
}

// openBridge takes the address. Connections wait until serve is called.
func openBridge(ctx context.Context, addr, socket string) (*bridge, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("egress bridge: %w", err)
	}
	return &bridge{ctx: ctx, listener: listener, socket: socket, sem: make(chan struct{}, maxConnections)}, nil
}

// serve forwards connections in the background.
func (b *bridge) serve() { go b.accept() }

func (b *bridge) accept() {
	for {
		b.sem <- struct{}{}
		agentConn, err := b.listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { <-b.sem }()
			b.proxy(b.ctx, agentConn)
		}()
	}
}

// proxy copies in both directions until both have ended.
func (b *bridge) proxy(ctx context.Context, agentConn net.Conn) {
	defer agentConn.Close()
	gatewayConn, err := new(net.Dialer).DialContext(ctx, "unix", b.socket)
	if err != nil {
		return // the agent sees a closed connection
	}
	defer gatewayConn.Close()
	copyBothWays(agentConn, gatewayConn)
}

func copyBothWays(agentConn, gatewayConn net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() { copyOneWay(gatewayConn, agentConn) })
	wg.Go(func() { copyOneWay(agentConn, gatewayConn) })
	wg.Wait()
}

// copyOneWay copies from src to dst and then closes dst for writing. The anonymous structs hide ReadFrom and WriteTo,
// which would use splice: under gVisor, splice corrupted answers of more than 200 KB.
func copyOneWay(dst, src net.Conn) {
	buf := make([]byte, bridgeBuffer)
	_, err := io.CopyBuffer(struct{ io.Writer }{dst}, struct{ io.Reader }{src}, buf)
	if err != nil {
		// A reset closes both directions. Otherwise the other side would wait for the rest.
		_ = dst.Close()
		_ = src.Close()
		return
	}
	if halfCloser, ok := dst.(interface{ CloseWrite() error }); ok {
		_ = halfCloser.CloseWrite()
	}
}

func (b *bridge) Close() { _ = b.listener.Close() }
