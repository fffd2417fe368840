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
func drainPaths(t *testing.T, in *eventQueue) []string {
	t.Helper()
	events, ok := in.drain()
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
	h := NewBroadcaster()
	document, collection, everything, both, nobody := newEventQueue(), newEventQueue(), newEventQueue(), newEventQueue(), newEventQueue()
	d := watchKey{database: database, document: "c/a"}
	c := watchKey{database: database, collection: "c"}
	h.subscribe(document, []watchKey{d})
	h.subscribe(collection, []watchKey{c})
	h.subscribe(everything, []watchKey{{database: database}})
	h.subscribe(both, []watchKey{d, c})
	h.subscribe(nobody, []watchKey{{database: name.Database{Project: "q", ID: "d"}, collection: "c"}})

	h.Publish(commitEvent(database, name.Path{"c", "a"}, name.Path{"x", "y", "c", "b"}, name.Path{"other", "z"}))
	require.Equal(t, []string{"c/a"}, drainPaths(t, document))
	require.Equal(t, []string{"c/a", "x/y/c/b"}, drainPaths(t, collection))
	require.Equal(t, []string{"c/a", "x/y/c/b", "other/z"}, drainPaths(t, everything))
	require.Equal(t, []string{"c/a", "x/y/c/b"}, drainPaths(t, both), "a change is delivered once")
	require.Empty(t, drainPaths(t, nobody))
}

func TestUnsubscribeCountsReferences(t *testing.T) {
	h, in := NewBroadcaster(), newEventQueue()
	c := []watchKey{{database: database, collection: "c"}}
	h.subscribe(in, c)
	h.subscribe(in, c)
	h.unsubscribe(in, c)
	h.Publish(commitEvent(database, name.Path{"c", "a"}))
	require.Len(t, drainPaths(t, in), 1, "the other subscription remains")
	h.unsubscribe(in, c)
	h.Publish(commitEvent(database, name.Path{"c", "a"}))
	require.Empty(t, drainPaths(t, in))
	require.Empty(t, h.subscribers, "no data remains for queues without subscriptions")
}

func TestEventQueueOverflow(t *testing.T) {
	in := newEventQueue()
	for range maxQueuedChanges {
		in.push(commitEvent(database, name.Path{"c", "a"}))
	}
	in.push(commitEvent(database, name.Path{"c", "b"}))
	_, ok := in.drain()
	require.False(t, ok)
	_, ok = in.drain()
	require.False(t, ok, "the overflow is permanent")
}
