package listen

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
	"github.com/airlock-run/airlock/emulator/internal/firestore/store"
)

var database = name.Database{Project: "p", ID: "d"}

func commit(db name.Database, paths ...name.Path) store.Event {
	e := store.Event{Time: 1, Database: db}
	for _, p := range paths {
		e.Changes = append(e.Changes, store.Change{Path: p})
	}
	return e
}

// received empties an inbox and returns the paths in it.
func received(t *testing.T, in *inbox) []string {
	t.Helper()
	events, ok := in.take()
	require.True(t, ok)
	var out []string
	for _, e := range events {
		for _, c := range e.Changes {
			out = append(out, c.Path.String())
		}
	}
	return out
}

func TestEachHearsOfItsOwn(t *testing.T) {
	h := NewHub()
	document, collection, everything, both, nobody := newInbox(), newInbox(), newInbox(), newInbox(), newInbox()
	d := topic{database: database, document: "c/a"}
	c := topic{database: database, collection: "c"}
	h.watch(document, []topic{d})
	h.watch(collection, []topic{c})
	h.watch(everything, []topic{{database: database}})
	h.watch(both, []topic{d, c})
	h.watch(nobody, []topic{{database: name.Database{Project: "q", ID: "d"}, collection: "c"}})

	h.Publish(commit(database, name.Path{"c", "a"}, name.Path{"x", "y", "c", "b"}, name.Path{"other", "z"}))
	require.Equal(t, []string{"c/a"}, received(t, document))
	require.Equal(t, []string{"c/a", "x/y/c/b"}, received(t, collection))
	require.Equal(t, []string{"c/a", "x/y/c/b", "other/z"}, received(t, everything))
	require.Equal(t, []string{"c/a", "x/y/c/b"}, received(t, both), "a change is delivered once")
	require.Empty(t, received(t, nobody))
}

func TestUnwatchCounts(t *testing.T) {
	h, in := NewHub(), newInbox()
	c := []topic{{database: database, collection: "c"}}
	h.watch(in, c)
	h.watch(in, c)
	h.unwatch(in, c)
	h.Publish(commit(database, name.Path{"c", "a"}))
	require.Len(t, received(t, in), 1, "the other target still watches")
	h.unwatch(in, c)
	h.Publish(commit(database, name.Path{"c", "a"}))
	require.Empty(t, received(t, in))
	require.Empty(t, h.watchers, "nothing is kept of those who left")
}

func TestASlowListenerIsFoundOut(t *testing.T) {
	in := newInbox()
	for range maxInbox {
		in.put(commit(database, name.Path{"c", "a"}))
	}
	in.put(commit(database, name.Path{"c", "b"}))
	_, ok := in.take()
	require.False(t, ok)
	_, ok = in.take()
	require.False(t, ok, "it stays so")
}
