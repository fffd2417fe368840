package broadcast

import (
	"maps"
	"slices"
	"sync"
)

// Notes are left for one who looks after things of a kind when it gets to it:
// several about the same thing are one. They are safe for concurrent use.
type PendingSet[K comparable] struct {
	ready chan struct{}
	mu    sync.Mutex
	keys  map[K]struct{}
}

// NewNotes returns an empty pile.
func NewPendingSet[K comparable]() *PendingSet[K] {
	return &PendingSet[K]{ready: make(chan struct{}, 1), keys: map[K]struct{}{}}
}

// Leave leaves a note. It never blocks.
func (n *PendingSet[K]) Add(k K) {
	n.mu.Lock()
	n.keys[k] = struct{}{}
	n.mu.Unlock()
	select {
	case n.ready <- struct{}{}:
	default: // whoever takes that takes this, too
	}
}

// News has something when notes were left since the last Take; rarely it has when there are none.
func (n *PendingSet[K]) Ready() <-chan struct{} { return n.ready }

// Take returns what notes were left about, in no order, and leaves none.
func (n *PendingSet[K]) Drain() []K {
	n.mu.Lock()
	defer n.mu.Unlock()
	keys := slices.Collect(maps.Keys(n.keys))
	clear(n.keys)
	return keys
}
