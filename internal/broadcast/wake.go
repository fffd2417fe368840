// Package wake tells within a process: of an execution, whoever waits for it
// (Room); of anything, the one who looks after it (Notes).
package broadcast

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Room is where the waiting ones are. It is safe for concurrent use; the zero
// Room is empty and ready.
type Room struct {
	mu      sync.Mutex
	waiting map[execution.Ref]map[chan struct{}]struct{}
	count   int
}

// Len is how many wait.
func (r *Room) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// Enter waits for news of an execution: each arrives on news, where several
// become one. Leave must be called once it is of no more interest.
func (r *Room) Enter(ref execution.Ref) (news <-chan struct{}, leave func()) {
	c := make(chan struct{}, 1)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[execution.Ref]map[chan struct{}]struct{}{}
	}
	if r.waiting[ref] == nil {
		r.waiting[ref] = map[chan struct{}]struct{}{}
	}
	r.waiting[ref][c] = struct{}{}
	r.count++
	return c, func() { r.leave(ref, c) }
}

func (r *Room) leave(ref execution.Ref, c chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, waits := r.waiting[ref][c]; waits {
		r.count--
	}
	delete(r.waiting[ref], c)
	if len(r.waiting[ref]) == 0 {
		delete(r.waiting, ref)
	}
}

// Wake brings news of an execution to all that wait for it. It never blocks.
func (r *Room) Wake(ref execution.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for c := range r.waiting[ref] {
		select {
		case c <- struct{}{}:
		default: // has news already that it has not looked at
		}
	}
}
