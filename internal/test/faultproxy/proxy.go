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
	HoldRequests, HoldAnswers bool
	// Delay keeps every piece back for so long.
	Delay time.Duration
}

// What there is to suffer, by name.
var (
	Away      = Fault{Refuse: true}                          // nobody listens
	BlackHole = Fault{HoldRequests: true, HoldAnswers: true} // connections stay, and nothing passes
	Deaf      = Fault{HoldAnswers: true}                     // what is asked is done, and nobody hears of it
)

// Proxy passes connections on to a target, on TCP or on unix sockets.
type Proxy struct {
	network, target string
	listener        net.Listener
	ctx             context.Context // ends the connections
	stop            context.CancelFunc
	working         sync.WaitGroup

	mu      sync.Mutex
	fault   Fault
	changed chan struct{} // closed with the next change of fault
	open    map[*pair]struct{}
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
		changed: make(chan struct{}), open: map[*pair]struct{}{},
	}
	p.working.Go(p.accept)
	return p, nil
}

// Addr is where it listens.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Close ends every connection and waits for the proxy's end.
func (p *Proxy) Close() error {
	p.stop()
	err := p.listener.Close()
	p.Cut()
	p.working.Wait()
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
		p.Cut()
	}
}

// Heal passes everything on again.
func (p *Proxy) Heal() { p.Set(Fault{}) }

// Cut ends the connections there are. New ones are taken unless they are refused.
func (p *Proxy) Cut() {
	for _, c := range p.connections() {
		c.cut()
	}
}

// HalfClose ends the answers of the connections there are; what their clients
// still say arrives.
func (p *Proxy) HalfClose() {
	for _, c := range p.connections() {
		closeWrite(c.front)
	}
}

func (p *Proxy) connections() []*pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]*pair, 0, len(p.open))
	for c := range p.open {
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
		front, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // of one connection that went before it was taken
		}
		p.working.Go(func() { p.serve(front) })
	}
}

// serve passes one connection on until both directions have ended.
func (p *Proxy) serve(front net.Conn) {
	defer front.Close()
	if f, _ := p.state(); f.Refuse {
		return
	}
	back, err := new(net.Dialer).DialContext(p.ctx, p.network, p.target)
	if err != nil {
		return
	}
	c := newPair(p, front, back)
	if !p.enter(c) {
		c.cut()
		return
	}
	defer p.leave(c)
	var both sync.WaitGroup
	both.Go(func() { c.pass(back, front, func(f Fault) bool { return f.HoldRequests }) })
	both.Go(func() { c.pass(front, back, func(f Fault) bool { return f.HoldAnswers }) })
	both.Wait()
	c.cut()
}

// enter makes the connection known to Cut, unless it should be cut already.
func (p *Proxy) enter(c *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fault.Refuse || p.ctx.Err() != nil {
		return false
	}
	p.open[c] = struct{}{}
	return true
}

func (p *Proxy) leave(c *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}
