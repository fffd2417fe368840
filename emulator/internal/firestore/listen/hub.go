// Package listen tells listeners what changes in the documents and queries they watch.
package listen

import (
	"sync"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

// Hub hands each commit to those who watch something it touches. The cost of a commit is that of its own watchers,
// however many others there are. It is safe for concurrent use.
type Hub struct {
	mu       sync.Mutex
	watchers map[topic]map[*inbox]int // times an inbox has asked for the topic
}

// topic is what can be watched: a document, a collection ID, or all of a database where both are empty.
type topic struct {
	database   name.Database
	document   string
	collection string
}

// NewHub makes a hub that nobody watches.
func NewHub() *Hub { return &Hub{watchers: map[topic]map[*inbox]int{}} }

// Publish delivers a commit. It does not block; calls come in the order of commits.
func (h *Hub) Publish(e store.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mail := map[*inbox][]store.Change{}
	for _, c := range e.Changes {
		seen := map[*inbox]bool{}
		for _, t := range topicsOf(e.Database, c.Path) {
			for in := range h.watchers[t] {
				if !seen[in] {
					seen[in] = true
					mail[in] = append(mail[in], c)
				}
			}
		}
	}
	for in, changes := range mail {
		in.put(store.Event{Time: e.Time, Database: e.Database, Changes: changes})
	}
}

func topicsOf(db name.Database, p name.Path) [3]topic {
	return [3]topic{
		{database: db, document: p.String()},
		{database: db, collection: p.Collection()},
		{database: db},
	}
}

func (h *Hub) watch(in *inbox, topics []topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		if h.watchers[t] == nil {
			h.watchers[t] = map[*inbox]int{}
		}
		h.watchers[t][in]++
	}
}

func (h *Hub) unwatch(in *inbox, topics []topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, t := range topics {
		if h.watchers[t][in]--; h.watchers[t][in] > 0 {
			continue
		}
		delete(h.watchers[t], in)
		if len(h.watchers[t]) == 0 {
			delete(h.watchers, t)
		}
	}
}

// maxInbox bounds what waits for one slow listener, in changes.
const maxInbox = 20_000

// inbox holds the commits a stream has yet to look at.
type inbox struct {
	ready chan struct{} // has a token when there is something to take

	mu     sync.Mutex
	events []store.Event
	size   int
	full   bool // something was dropped: the stream must start over
}

func newInbox() *inbox { return &inbox{ready: make(chan struct{}, 1)} }

func (in *inbox) put(e store.Event) {
	in.mu.Lock()
	if in.size += len(e.Changes); in.size > maxInbox {
		in.events, in.full = nil, true
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
func (in *inbox) take() (events []store.Event, ok bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	events, in.events, in.size = in.events, nil, 0
	return events, !in.full
}
