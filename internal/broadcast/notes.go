package broadcast

import (
	"maps"
	"slices"
	"sync"
)

// Notes are left for one who looks after things of a kind when it gets to it:
// several about the same thing are one. They are safe for concurrent use.
type Notes[K comparable] struct {
	news  chan struct{}
	mu    sync.Mutex
	about map[K]struct{}
}

// NewNotes returns an empty pile.
func NewNotes[K comparable]() *Notes[K] {
	return &Notes[K]{news: make(chan struct{}, 1), about: map[K]struct{}{}}
}

// Leave leaves a note. It never blocks.
func (n *Notes[K]) Leave(k K) {
	n.mu.Lock()
	n.about[k] = struct{}{}
	n.mu.Unlock()
	select {
	case n.news <- struct{}{}:
	default: // whoever takes that takes this, too
	}
}

// News has something when notes were left since the last Take; rarely it has when there are none.
func (n *Notes[K]) News() <-chan struct{} { return n.news }

// Take returns what notes were left about, in no order, and leaves none.
func (n *Notes[K]) Take() []K {
	n.mu.Lock()
	defer n.mu.Unlock()
	about := slices.Collect(maps.Keys(n.about))
	clear(n.about)
	return about
}
