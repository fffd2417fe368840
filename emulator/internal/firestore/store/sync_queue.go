package store

import (
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"github.com/airlock-run/airlock/emulator/internal/firestore/document"
	"github.com/airlock-run/airlock/emulator/internal/signal"
)

// syncQueue waits for each commit, in order, to be on disk, and then passes it to onCommit.
type syncQueue struct {
	onCommit func(Event)
	durable  atomic.Int64 // document.Time of the newest commit on disk

	mu          sync.Mutex
	queue       []*queuedCommit
	newestEntry *queuedCommit // done or not
	ready       signal.Signal
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

// onDisk returns a commit that is on disk.
func onDisk() *queuedCommit {
	c := &queuedCommit{done: make(chan struct{})}
	close(c.done)
	return c
}

// startSyncQueue starts a queue. All commits up to the time durable are on disk.
func startSyncQueue(durable document.Time, onCommit func(Event)) *syncQueue {
	q := &syncQueue{onCommit: onCommit, ready: signal.New(), done: make(chan struct{})}
	q.newestEntry = onDisk()
	q.durable.Store(int64(durable))
	go q.run()
	return q
}

// push queues a commit. The caller calls it in the order of commits.
func (q *syncQueue) push(event Event, batch *pebble.Batch) *queuedCommit {
	e := &queuedCommit{event: event, batch: batch, done: make(chan struct{})}
	q.mu.Lock()
	q.queue = append(q.queue, e)
	q.newestEntry = e
	q.mu.Unlock()
	q.ready.Notify()
	return e
}

func (q *syncQueue) newest() *queuedCommit {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.newestEntry
}

// stop returns when all queued commits are on disk and onCommit has received them, or when full is closed.
func (q *syncQueue) stop(full <-chan struct{}) {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Notify()
	select {
	case <-q.done:
	case <-full:
	}
}

func (q *syncQueue) run() {
	defer close(q.done)
	for {
		q.mu.Lock()
		queue, closed := q.queue, q.closed
		q.queue = nil
		q.mu.Unlock()
		for _, e := range queue {
			q.complete(e)
		}
		if len(queue) == 0 {
			if closed {
				return
			}
			<-q.ready
		}
	}
}

func (q *syncQueue) complete(e *queuedCommit) {
	if e.batch != nil {
		e.err = e.batch.SyncWait()
		_ = e.batch.Close() // returns the memory only
	}
	if e.err == nil {
		q.durable.Store(int64(e.event.Time))
	}
	event := e.event
	e.event, e.batch = Event{}, nil // newestEntry and snapshots refer to the entry; free what they do not need
	if e.err == nil && q.onCommit != nil && len(event.Changes) > 0 {
		q.onCommit(event)
	}
	close(e.done) // last, so that a caller that waited for the disk finds that onCommit has the commit
}

func (q *syncQueue) durableTime() document.Time { return document.Time(q.durable.Load()) }
