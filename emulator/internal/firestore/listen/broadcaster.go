// Package listen sends clients the changes of the documents and queries that they watch.
//
// In come the commits of the store and the requests of one Listen stream; out come its responses. The package changes
// no documents.
package listen

import (
	"sync"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// Broadcaster passes each commit to the streams that watch a changed document or collection. The time for a commit
// depends only on the number of these streams. It is safe for concurrent use.
type Broadcaster struct {
	mu          sync.Mutex
	subscribers map[watchKey]map[*eventQueue]int // number of subscriptions of each queue
}

// watchKey is what a stream can watch: a document, a collection ID, or the whole database if both are empty.
type watchKey struct {
	database   name.Database
	document   string
	collection string
}

// NewBroadcaster returns a broadcaster without subscribers.
func NewBroadcaster() *Broadcaster {
	return &Broadcaster{subscribers: map[watchKey]map[*eventQueue]int{}}
}

// Publish passes a commit on. It does not block. The caller calls it in the order of commits.
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

// maxQueuedChanges is the maximum number of changes that wait for one slow stream.
const maxQueuedChanges = 20_000

// eventQueue contains the commits that a stream has not handled yet.
type eventQueue struct {
	ready chan struct{} // contains a token when the queue is not empty

	mu         sync.Mutex
	events     []store.Event
	size       int
	overflowed bool // commits were dropped: the stream must start again
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

// drain empties the queue. ok is false if commits were dropped.
func (in *eventQueue) drain() (events []store.Event, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	events, in.events, in.size = in.events, nil, 0
	return events, !in.overflowed
}
