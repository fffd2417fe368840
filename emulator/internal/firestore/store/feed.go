package store

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
)

// feed waits, in the order of commits, for each to be on disk, and then tells of it.
type feed struct {
	tell    func(Event)
	durable atomic.Int64 // newest document.Time that is on disk

	mu     sync.Mutex
	queue  []*entry
	tail   *entry // newest entry, done or not
	wake   chan struct{}
	closed bool
	ended  chan struct{}
}

// entry is one commit on its way to the disk.
type entry struct {
	event Event
	batch *pebble.Batch // nil: nothing of its own to write
	done  chan struct{} // closed once this commit, and all before it, are on disk
	err   error         // to be read after done
}

func startFeed(tell func(Event)) *feed {
	f := &feed{tell: tell, wake: make(chan struct{}, 1), ended: make(chan struct{})}
	f.tail = &entry{done: make(chan struct{})}
	close(f.tail.done)
	go f.run()
	return f
}

// push queues a commit. Calls come in the order of commits.
func (f *feed) push(event Event, batch *pebble.Batch) *entry {
	e := &entry{event: event, batch: batch, done: make(chan struct{})}
	f.mu.Lock()
	f.queue = append(f.queue, e)
	f.tail = e
	f.mu.Unlock()
	f.signal()
	return e
}

func (f *feed) newest() *entry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tail
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// stop returns once everything queued is on disk and told.
func (f *feed) stop() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.signal()
	<-f.ended
}

func (f *feed) run() {
	defer close(f.ended)
	for {
		f.mu.Lock()
		queue, closed := f.queue, f.closed
		f.queue = nil
		f.mu.Unlock()
		for _, e := range queue {
			f.finish(e)
		}
		if len(queue) == 0 {
			if closed {
				return
			}
			<-f.wake
		}
	}
}

func (f *feed) finish(e *entry) {
	if e.batch != nil {
		e.err = e.batch.SyncWait()
		_ = e.batch.Close() // returns the memory only
	}
	if e.err == nil {
		f.durable.Store(int64(e.event.Time))
	}
	event := e.event
	e.event, e.batch = Event{}, nil // the newest entry is kept, what it held need not be
	if e.err == nil && f.tell != nil && len(event.Changes) > 0 {
		f.tell(event)
	}
	close(e.done) // who waited for the disk finds the commit told
}

func (f *feed) isDurable(t document.Time) bool { return int64(t) <= f.durable.Load() }
