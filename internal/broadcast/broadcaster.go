package broadcast

import (
	"sync"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Broadcaster notifies all subscribers of an execution. It is safe for concurrent use; its zero value has no
// subscribers and is ready for use.
type Broadcaster struct {
	mu          sync.Mutex
	subscribers map[execution.Ref]map[Signal]struct{}
	count       int
}

// Len returns the number of subscriptions.
func (b *Broadcaster) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.count
}

// Subscribe returns a channel that receives after each Notify for the execution, where several may become one. The
// caller must call unsubscribe when it needs no more notifications.
func (b *Broadcaster) Subscribe(ref execution.Ref) (notified <-chan struct{}, unsubscribe func()) {
	s := NewSignal()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.subscribers == nil {
		b.subscribers = map[execution.Ref]map[Signal]struct{}{}
	}
	if b.subscribers[ref] == nil {
		b.subscribers[ref] = map[Signal]struct{}{}
	}
	b.subscribers[ref][s] = struct{}{}
	b.count++
	return s, func() { b.unsubscribe(ref, s) }
}

func (b *Broadcaster) unsubscribe(ref execution.Ref, s Signal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, subscribed := b.subscribers[ref][s]; subscribed {
		b.count--
	}
	delete(b.subscribers[ref], s)
	if len(b.subscribers[ref]) == 0 {
		delete(b.subscribers, ref)
	}
}

// Notify notifies all subscribers of an execution. It never blocks.
func (b *Broadcaster) Notify(ref execution.Ref) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for s := range b.subscribers[ref] {
		s.Notify()
	}
}
