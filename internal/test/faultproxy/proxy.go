// Package fault stands between a program and what it depends on, and spoils
// the connection as a test says. What stands behind it is the real thing.
package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Fault says what a Proxy does to connections, those there are and those to
// come. The zero Fault does nothing.
type Fault struct {
	// Refuse ends every connection at once.
	Refuse bool
	// HoldRequests and HoldAnswers keep back what is said in one direction,
	// as a network does that has lost its way: once it is healed, it arrives.
	HoldRequests, HoldResponses bool
	// Delay keeps every piece back for so long.
	Delay time.Duration
}

// What there is to suffer, by name.
var (
	Unreachable = Fault{Refuse: true}                            // nobody listens
	BlackHole   = Fault{HoldRequests: true, HoldResponses: true} // connections stay, and nothing passes
	NoResponses = Fault{HoldResponses: true}                     // what is asked is done, and nobody hears of it
)

// Proxy passes connections on to a target, on TCP or on unix sockets.
type Proxy struct {
	network, target string
	listener        net.Listener
	ctx             context.Context // ends the connections
	stop            context.CancelFunc
	wg              sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed with the next change of fault
	conns   map[*connection]struct{}
}

// Listen starts a proxy to target at address; for TCP, port 0 takes any free
// one. It must be closed.
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

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends every connection and waits for the proxy's end.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.ResetConnections()
	p.wg.Wait()
	return err
}

// Set makes every connection suffer the fault, until the next Set.
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

// Heal passes everything on again.
func (p *Proxy) Clear() { p.Set(Fault{}) }

// Cut ends the connections there are. New ones are taken unless they are refused.
func (p *Proxy) ResetConnections() {
	for _, c := range p.connections() {
		c.reset()
	}
}

// HalfClose ends the answers of the connections there are; what their clients
// still say arrives.
func (p *Proxy) HalfCloseConnections() {
	for _, c := range p.connections() {
		closeWrite(c.client)
	}
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
			continue // of one connection that went before it was taken
		}
		p.wg.Go(func() { p.serve(client) })
	}
}

// serve passes one connection on until both directions have ended.
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

// enter makes the connection known to Cut, unless it should be cut already.
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
