// Package faultproxy is a proxy between a program and a real service. Tests use it to disturb the connections between
// them.
//
// In: TCP or unix connections of clients, and the Fault that a test sets.
// Out: the same bytes to and from the target, delayed, held back or cut off. A Proxy never changes or reads the content
// of a connection. An HTTPProxy disturbs single requests.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Fault is how a Proxy disturbs all its connections, existing and new ones. The zero Fault does nothing.
type Fault struct {
	// Refuse closes every connection immediately.
	Refuse bool
	// HoldRequests and HoldResponses hold back the bytes of one direction. They arrive when the fault ends, as after a
	// network partition.
	HoldRequests, HoldResponses bool
	// Delay holds every read back for this time.
	Delay time.Duration
}

// Common faults.
var (
	Unreachable = Fault{Refuse: true}                            // no connection is possible
	BlackHole   = Fault{HoldRequests: true, HoldResponses: true} // connections stay open, but nothing arrives
	NoResponses = Fault{HoldResponses: true}                     // the target receives and acts, but the client sees no response
)

// Proxy forwards connections to a target, over TCP or unix sockets. It is safe for concurrent use.
type Proxy struct {
	network, target string
	listener        net.Listener
	ctx             context.Context // of all connections
	stop            context.CancelFunc
	wg              sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed by the next Set
	conns   map[*connection]struct{}
}

// Listen starts a proxy to target at address. TCP port 0 stands for any free port. The caller must close the proxy.
func Listen(network, address, target string) (*Proxy, error) {
	ctx, stop := context.WithCancel(context.Background())
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		stop()
		return nil, fmt.Errorf("proxy to %s: %w", target, err)
	}
	p := &Proxy{
		network: network, target: target, listener: l, ctx: ctx, stop: stop,
		changed: make(chan struct{}), conns: map[*connection]struct{}{},
	}
	p.wg.Go(p.accept)
	return p, nil
}

// Addr returns the address at which the proxy listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close closes all connections and waits until the proxy has stopped.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.ResetConnections()
	p.wg.Wait()
	return err
}

// Set applies a fault to every connection until the next Set.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	p.fault = f
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	if f.Refuse {
		p.ResetConnections()
	}
}

// Clear ends the fault.
func (p *Proxy) Clear() { p.Set(Fault{}) }

// ResetConnections resets all existing connections. New ones are not affected.
func (p *Proxy) ResetConnections() {
	for _, c := range p.connections() {
		c.reset()
	}
}

// HalfCloseConnections closes the response direction of all existing connections. Requests of their clients still
// arrive.
func (p *Proxy) HalfCloseConnections() {
	for _, c := range p.connections() {
		closeWrite(c.client)
	}
}

// Connects reports whether the connection that the target knows by this remote address is one of the proxy. So a test
// can tell whose requests the target gets.
func (p *Proxy) Connects(remote net.Addr) bool {
	for _, c := range p.connections() {
		if c.upstream.LocalAddr().String() == remote.String() {
			return true
		}
	}
	return false
}

func (p *Proxy) connections() []*connection {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*connection, 0, len(p.conns))
	for c := range p.conns {
		all = append(all, c)
	}
	return all
}

func (p *Proxy) state() (Fault, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.fault, p.changed
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // this client has already closed its connection
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// serve forwards one connection until both directions are closed.
func (p *Proxy) serve(client net.Conn) {
	defer client.Close()
	if f, _ := p.state(); f.Refuse {
		return
	}
	upstream, err := new(net.Dialer).DialContext(p.ctx, p.network, p.target)
	if err != nil {
		return
	}
	c := newConnection(p, client, upstream)
	if !p.track(c) {
		c.reset()
		return
	}
	defer p.untrack(c)
	var directions sync.WaitGroup
	directions.Go(func() { c.forward(upstream, client, func(f Fault) bool { return f.HoldRequests }) })
	directions.Go(func() { c.forward(client, upstream, func(f Fault) bool { return f.HoldResponses }) })
	directions.Wait()
	c.reset()
}

// track registers a connection. It returns false if the connection must be closed immediately.
func (p *Proxy) track(c *connection) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault.Refuse || p.ctx.Err() != nil {
		return false
	}
	p.conns[c] = struct{}{}
	return true
}

func (p *Proxy) untrack(c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}
