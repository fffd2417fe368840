// Package listen sends clients the changes of the documents and queries that they watch.
//
// It receives the commits of the store and the requests of a Listen stream, and sends the responses of the stream. It
// changes no documents.
package listen

import (
	"sync"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
	"github.com/airlock-run/airlock/emulator/internal/signal"
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
func (b *Broadcaster) Publish(e store.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	pending := map[*eventQueue][]store.Change{}
	for _, c := range e.Changes {
		seen := map[*eventQueue]bool{}
		for _, k := range watchKeys(e.Database, c.Path) {
			for q := range b.subscribers[k] {
				if !seen[q] {
					seen[q] = true
					pending[q] = append(pending[q], c)
				}
			}
		}
	}
	for q, changes := range pending {
		q.push(store.Event{Time: e.Time, Database: e.Database, Changes: changes})
	}
}

// Drop makes all streams start again, because a commit was not passed on.
func (b *Broadcaster) Drop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, queues := range b.subscribers {
		for q := range queues {
			q.overflow()
		}
	}
}

func watchKeys(db name.Database, p name.Path) [3]watchKey {
	return [3]watchKey{
		{database: db, document: p.String()},
		{database: db, collection: p.Collection()},
		{database: db},
	}
}

func (b *Broadcaster) subscribe(q *eventQueue, keys []watchKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if b.subscribers[k] == nil {
			b.subscribers[k] = map[*eventQueue]int{}
		}
		b.subscribers[k][q]++
	}
}

func (b *Broadcaster) unsubscribe(q *eventQueue, keys []watchKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		if b.subscribers[k][q]--; b.subscribers[k][q] > 0 {
			continue
		}
		delete(b.subscribers[k], q)
		if len(b.subscribers[k]) == 0 {
			delete(b.subscribers, k)
		}
	}
}

// maxQueuedChanges is the maximum number of changes that wait for one slow stream.
const maxQueuedChanges = 20_000

// eventQueue contains the commits that a stream has not handled yet.
type eventQueue struct {
	ready signal.Signal // when the queue is not empty

	mu         sync.Mutex
	events     []store.Event
	size       int
	overflowed bool // commits were dropped: the stream must start again
}

func newEventQueue() *eventQueue { return &eventQueue{ready: signal.New()} }

func (q *eventQueue) push(e store.Event) {
	q.mu.Lock()
	if q.size += len(e.Changes); q.size > maxQueuedChanges {
		q.events, q.overflowed = nil, true
	} else {
		q.events = append(q.events, e)
	}
	q.mu.Unlock()
	q.ready.Notify()
}

func (q *eventQueue) overflow() {
	q.mu.Lock()
	q.events, q.overflowed = nil, true
	q.mu.Unlock()
	q.ready.Notify()
}

// drain empties the queue. ok is false if commits were dropped.
func (q *eventQueue) drain() (events []store.Event, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	events, q.events, q.size = q.events, nil, 0
	return events, !q.overflowed
}
