// Package wake tells within a process: of an execution, whoever waits for it
// (Room); of anything, the one who looks after it (Notes).
package broadcast

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Room is where the waiting ones are. It is safe for concurrent use; the zero
// Room is empty and ready.
type Broadcaster struct {
	mu          sync.Mutex
	subscribers map[execution.Ref]map[chan struct{}]struct{}
	count       int
}

// Len is how many wait.
func (r *Broadcaster) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Enter waits for news of an execution: each arrives on news, where several
// become one. Leave must be called once it is of no more interest.
func (r *Broadcaster) Subscribe(ref execution.Ref) (notified <-chan struct{}, unsubscribe func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.subscribers == nil {
		r.subscribers = map[execution.Ref]map[chan struct{}]struct{}{}
	}
	if r.subscribers[ref] == nil {
		r.subscribers[ref] = map[chan struct{}]struct{}{}
	}
	r.subscribers[ref][c] = struct{}{}
	r.count++
	return c, func() { r.unsubscribe(ref, c) }
}

func (r *Broadcaster) unsubscribe(ref execution.Ref, c chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, subscribed := r.subscribers[ref][c]; subscribed {
		r.count--
	}
	delete(r.subscribers[ref], c)
	if len(r.subscribers[ref]) == 0 {
		delete(r.subscribers, ref)
	}
}

// Wake brings news of an execution to all that wait for it. It never blocks.
func (r *Broadcaster) Notify(ref execution.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.subscribers[ref] {
		select {
		case c <- struct{}{}:
		default: // has news already that it has not looked at
		}
	}
}
