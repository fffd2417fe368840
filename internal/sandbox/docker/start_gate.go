package docker

import (
	"context"
	"runtime"
	"slices"
	"sync"
)

// startGate limits how many containers the driver creates and starts at a time. More starts at a time do not make an
// Engine faster, and make each of them slower. Jobs go before warm containers, and each of the two in order of arrival.
type startGate struct {
	mu      sync.Mutex
	free    int
	waiting [2][]chan error // by startPriority; receives nil with a place, or why there is none
}

type startPriority int

const (
	startForJob startPriority = iota
	startForPool
)

// parallelStarts returns the number of places of a startGate. A start is work for one CPU of the Engine's host. On two
// CPUs, 16 containers took 4.3 s one at a time, 3.1 s two at a time, 2.8 to 3.0 s with three to eight at a time, and
// 3.5 s all at a time. Each took 0.15 s, 0.2 s, 0.4 to 1.0 s, and 2.4 s.
func parallelStarts() int { return max(2, runtime.NumCPU()) }

// enter waits for a place. It returns the cause of ctx if ctx ends before, or the error of refuse.
func (g *startGate) enter(ctx context.Context, priority startPriority) error {
	g.mu.Lock()
	if g.free > 0 {
		g.free--
		g.mu.Unlock()
		return nil
	}
	place := make(chan error, 1)
	g.waiting[priority] = append(g.waiting[priority], place)
	g.mu.Unlock()
	select {
	case err := <-place:
		return err
	case <-ctx.Done():
	}
	g.mu.Lock()
	i := slices.Index(g.waiting[priority], place)
	if i >= 0 {
		g.waiting[priority] = slices.Delete(g.waiting[priority], i, i+1)
	}
	g.mu.Unlock()
	if i < 0 && <-place == nil { // the place was given at the same moment
		g.leave()
	}
	return context.Cause(ctx)
}

// leave gives a place to the next one that waits.
func (g *startGate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for priority, waiting := range g.waiting {
		if len(waiting) > 0 {
			waiting[0] <- nil
			g.waiting[priority] = waiting[1:]
			return
		}
	}
	g.free++
}

// refuse ends the wait of everybody with an error. Their starts would most likely fail as well, after a time-out each.
func (g *startGate) refuse(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for priority, waiting := range g.waiting {
		for _, place := range waiting {
			place <- err
		}
		g.waiting[priority] = nil
	}
}
