package executor

import (
	"context"
	"errors"
	"sync"
)

// errDraining is why an executor that drains does not pull.
var errDraining = errors.New("an operator drains the executor")

// drainGate knows whether the executor may pull.
type drainGate struct {
	mu       sync.Mutex
	draining bool
	changed  chan struct{} // closed and replaced by every change
}

func newDrainGate() *drainGate { return &drainGate{changed: make(chan struct{})} }

func (g *drainGate) set(draining bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.draining != draining {
		g.draining = draining
		close(g.changed)
		g.changed = make(chan struct{})
	}
}

func (g *drainGate) state() (draining bool, changed <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.draining, g.changed
}

// await waits until the state is this one. It returns the cause of ctx if that ends first.
func (g *drainGate) await(ctx context.Context, draining bool) error {
	for {
		current, changed := g.state()
		if current == draining {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-changed:
		}
	}
}

// SetDraining makes the executor stop pulling, or pull again. Its jobs go on until they end.
func (x *Executor) SetDraining(draining bool) {
	x.drain.set(draining)
	if draining {
		x.nextTurns.shrink(0)
	}
}

// awaitNoDrain waits until no operator drains the executor.
func (x *Executor) awaitNoDrain(ctx context.Context) error {
	if draining, _ := x.drain.state(); draining {
		x.health.setNotPulling(errDraining)
	}
	return x.drain.await(ctx, false)
}

// State is what an executor says about itself to the fleet.
type State struct {
	Busy     int // slots in use
	Pulling  bool
	Reason   string // why it does not pull, for operators
	Draining bool
	// UnavailableRuntimes are those of which it takes no job: the reason, for operators, by runtime.
	UnavailableRuntimes map[string]string
}

// State returns the present state.
func (x *Executor) State() State {
	health := x.Health()
	s := State{Busy: x.slots.busy(), Pulling: health.Pulling, Reason: health.Reason, UnavailableRuntimes: health.UnavailableRuntimes}
	s.Draining, _ = x.drain.state()
	return s
}

// StateChanged wakes its receiver when State may have changed, except for Busy. It has one receiver.
func (x *Executor) StateChanged() <-chan struct{} { return x.health.changed }
