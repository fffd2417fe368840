// Package listen tells listeners what changes in the documents and queries they watch.
package listen

import (
	"sync"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// Hub hands each commit to those who watch something it touches. The cost of a commit is that of its own watchers,
// however many others there are. It is safe for concurrent use.
type Broadcaster struct {
	mu          sync.Mutex
	subscribers map[watchKey]map[*eventQueue]int // times an inbox has asked for the topic
}

// topic is what can be watched: a document, a collection ID, or all of a database where both are empty.
type watchKey struct {
	database   name.Database
	document   string
	collection string
}

// NewHub makes a hub that nobody watches.
func NewBroadcaster() *Broadcaster {
	return &Broadcaster{subscribers: map[watchKey]map[*eventQueue]int{}}
}

// Publish delivers a commit. It does not block; calls come in the order of commits.
func (h *Broadcaster) Publish(e store.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	pending := map[*eventQueue][]store.Change{}
	for _, c := range e.Changes {
		seen := map[*eventQueue]bool{}
		for _, t := range watchKeys(e.Database, c.Path) {
			for in := range h.subscribers[t] {
				if !seen[in] {
					seen[in] = true
					pending[in] = append(pending[in], c)
				}
			}
		}
	}
	for in, changes := range pending {
		in.push(store.Event{Time: e.Time, Database: e.Database, Changes: changes})
	}
}

func watchKeys(db name.Database, p name.Path) [3]watchKey {
	return [3]watchKey{
		{database: db, document: p.String()},
		{database: db, collection: p.Collection()},
		{database: db},
	}
}

func (h *Broadcaster) subscribe(in *eventQueue, topics []watchKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		if h.subscribers[t] == nil {
			h.subscribers[t] = map[*eventQueue]int{}
		}
		h.subscribers[t][in]++
	}
}

func (h *Broadcaster) unsubscribe(in *eventQueue, topics []watchKey) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		if h.subscribers[t][in]--; h.subscribers[t][in] > 0 {
			continue
		}
		delete(h.subscribers[t], in)
		if len(h.subscribers[t]) == 0 {
			delete(h.subscribers, t)
		}
	}
}

// maxInbox bounds what waits for one slow listener, in changes.
const maxQueuedChanges = 20_000

// inbox holds the commits a stream has yet to look at.
type eventQueue struct {
	ready chan struct{} // has a token when there is something to take

	mu         sync.Mutex
	events     []store.Event
	size       int
	overflowed bool // something was dropped: the stream must start over
}

func newEventQueue() *eventQueue { return &eventQueue{ready: make(chan struct{}, 1)} }

func (in *eventQueue) push(e store.Event) {
	in.mu.Lock()
	if in.size += len(e.Changes); in.size > maxQueuedChanges {
		in.events, in.overflowed = nil, true
	} else {
		in.events = append(in.events, e)
	}
	in.mu.Unlock()
	select {
	case in.ready <- struct{}{}:
	default:
	}
}

// take empties the inbox; ok is false where something was dropped.
func (in *eventQueue) drain() (events []store.Event, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	events, in.events, in.size = in.events, nil, 0
	return events, !in.overflowed
}
