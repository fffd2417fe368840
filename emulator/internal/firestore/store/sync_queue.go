package store

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
)

// syncQueue waits for each commit, in order, to be on disk, and then passes it to onCommit.
type syncQueue struct {
	onCommit func(Event)
	durable  atomic.Int64 // document.Time of the newest commit on disk

	mu          sync.Mutex
	queue       []*queuedCommit
	newestEntry *queuedCommit // done or not
	ready       chan struct{}
	closed      bool
	done        chan struct{}
}

// queuedCommit is one commit that is being written to disk.
type queuedCommit struct {
	event Event
	batch *pebble.Batch // nil if the commit changed nothing
	done  chan struct{} // closed when this commit and all earlier ones are on disk
	err   error         // valid after done
}

func startSyncQueue(onCommit func(Event)) *syncQueue {
	f := &syncQueue{onCommit: onCommit, ready: make(chan struct{}, 1), done: make(chan struct{})}
	f.newestEntry = &queuedCommit{done: make(chan struct{})}
	close(f.newestEntry.done)
	go f.run()
	return f
}

// push queues a commit. The caller calls it in the order of commits.
func (f *syncQueue) push(event Event, batch *pebble.Batch) *queuedCommit {
	e := &queuedCommit{event: event, batch: batch, done: make(chan struct{})}
	f.mu.Lock()
	f.queue = append(f.queue, e)
	f.newestEntry = e
	f.mu.Unlock()
	f.notify()
	return e
}

func (f *syncQueue) newest() *queuedCommit {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.newestEntry
}

func (f *syncQueue) notify() {
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// stop returns when all queued commits are on disk and onCommit has received them.
func (f *syncQueue) stop() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.notify()
	<-f.done
}

func (f *syncQueue) run() {
	defer close(f.done)
	for {
		f.mu.Lock()
		queue, closed := f.queue, f.closed
		f.queue = nil
		f.mu.Unlock()
		for _, e := range queue {
			f.complete(e)
		}
		if len(queue) == 0 {
			if closed {
				return
			}
			<-f.ready
		}
	}
}

func (f *syncQueue) complete(e *queuedCommit) {
	if e.batch != nil {
		e.err = e.batch.SyncWait()
		_ = e.batch.Close() // returns the memory only
	}
	if e.err == nil {
		f.durable.Store(int64(e.event.Time))
	}
	event := e.event
	e.event, e.batch = Event{}, nil // newestEntry and snapshots refer to the entry; free what they do not need
	if e.err == nil && f.onCommit != nil && len(event.Changes) > 0 {
		f.onCommit(event)
	}
	close(e.done) // last, so that a caller that waited for the disk finds that onCommit has the commit
}

func (f *syncQueue) isDurable(t document.Time) bool { return int64(t) <= f.durable.Load() }
