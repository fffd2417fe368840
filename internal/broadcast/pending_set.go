package broadcast

import (
	"maps"
	"slices"
	"sync"
)

// PendingSet collects keys for one goroutine that works on them. A key that is added several times before the next
// Drain is one key. It is safe for concurrent use.
type PendingSet[K comparable] struct {
	ready Signal
	mu    sync.Mutex
	keys  map[K]struct{}
}

// NewPendingSet returns an empty set.
func NewPendingSet[K comparable]() *PendingSet[K] {
	return &PendingSet[K]{ready: NewSignal(), keys: map[K]struct{}{}}
}

// Add adds a key. It never blocks.
func (p *PendingSet[K]) Add(k K) {
	p.mu.Lock()
	p.keys[k] = struct{}{}
	p.mu.Unlock()
	p.ready.Notify()
}

// Ready receives when keys were added since the last Drain. In rare cases it receives although the set is empty.
func (p *PendingSet[K]) Ready() <-chan struct{} { return p.ready }

// Drain removes all keys and returns them in no particular order.
func (p *PendingSet[K]) Drain() []K {
	p.mu.Lock()
	defer p.mu.Unlock()
	keys := slices.Collect(maps.Keys(p.keys))
	clear(p.keys)
	return keys
}
