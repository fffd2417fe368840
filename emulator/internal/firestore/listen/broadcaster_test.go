package listen

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

var database = name.Database{Project: "p", ID: "d"}

func commitEvent(db name.Database, paths ...name.Path) store.Event {
	e := store.Event{Time: 1, Database: db}
	for _, p := range paths {
		e.Changes = append(e.Changes, store.Change{Path: p})
	}
	return e
}

// drainPaths empties a queue and returns the paths of its changes.
func drainPaths(t *testing.T, q *eventQueue) []string {
	t.Helper()
	events, ok := q.drain()
	require.True(t, ok)
	var out []string
	for _, e := range events {
		for _, c := range e.Changes {
			out = append(out, c.Path.String())
		}
	}
	return out
}

func TestPublishReachesMatchingSubscribers(t *testing.T) {
	b := NewBroadcaster()
	document, collection, everything, both, nobody := newEventQueue(), newEventQueue(), newEventQueue(), newEventQueue(), newEventQueue()
	d := watchKey{database: database, document: "c/a"}
	c := watchKey{database: database, collection: "c"}
	b.subscribe(document, []watchKey{d})
	b.subscribe(collection, []watchKey{c})
	b.subscribe(everything, []watchKey{{database: database}})
	b.subscribe(both, []watchKey{d, c})
	b.subscribe(nobody, []watchKey{{database: name.Database{Project: "q", ID: "d"}, collection: "c"}})

	b.Publish(commitEvent(database, name.Path{"c", "a"}, name.Path{"x", "y", "c", "b"}, name.Path{"other", "z"}))
	require.Equal(t, []string{"c/a"}, drainPaths(t, document))
	require.Equal(t, []string{"c/a", "x/y/c/b"}, drainPaths(t, collection))
	require.Equal(t, []string{"c/a", "x/y/c/b", "other/z"}, drainPaths(t, everything))
	require.Equal(t, []string{"c/a", "x/y/c/b"}, drainPaths(t, both), "a change is delivered once")
	require.Empty(t, drainPaths(t, nobody))
}

func TestUnsubscribeCountsReferences(t *testing.T) {
	b, q := NewBroadcaster(), newEventQueue()
	c := []watchKey{{database: database, collection: "c"}}
	b.subscribe(q, c)
	b.subscribe(q, c)
	b.unsubscribe(q, c)
	b.Publish(commitEvent(database, name.Path{"c", "a"}))
	require.Len(t, drainPaths(t, q), 1, "the other subscription remains")
	b.unsubscribe(q, c)
	b.Publish(commitEvent(database, name.Path{"c", "a"}))
	require.Empty(t, drainPaths(t, q))
	require.Empty(t, b.subscribers, "no data remains for queues without subscriptions")
}

func TestEventQueueOverflow(t *testing.T) {
	q := newEventQueue()
	for range maxQueuedChanges {
		q.push(commitEvent(database, name.Path{"c", "a"}))
	}
	q.push(commitEvent(database, name.Path{"c", "b"}))
	_, ok := q.drain()
	require.False(t, ok)
	_, ok = q.drain()
	require.False(t, ok, "the overflow is permanent")
}
