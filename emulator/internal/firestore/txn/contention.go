package txn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

const (
	// contentionWindow is how long after a conflict a document is read by one transaction at a time.
	contentionWindow = 10 * time.Second
	// maxQueueWait limits how long a transaction holds a read queue and how long another one waits for it. After that
	// it reads without the queue, and the check at the commit decides. This limit also ends a deadlock.
	maxQueueWait = time.Second
)

type documentKey struct {
	database name.Database
	path     string
}

// contention queues the readers of documents with recent conflicts. It only improves progress: Transaction.Check
// prevents lost updates.
type contention struct {
	mu     sync.Mutex
	queues map[documentKey]*readQueue
}

type readQueue struct {
	holder       chan struct{} // full while a transaction holds the queue; the others get it in order
	lastConflict time.Time     // by the monotonic clock
}

func newContention() *contention { return &contention{queues: map[documentKey]*readQueue{}} }

// recordConflict records a conflict on a document.
func (ts *contention) recordConflict(k documentKey) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	now := time.Now()
	for other, t := range ts.queues {
		if now.Sub(t.lastConflict) > contentionWindow && len(t.holder) == 0 {
			delete(ts.queues, other)
		}
	}
	if ts.queues[k] == nil {
		ts.queues[k] = &readQueue{holder: make(chan struct{}, 1)}
	}
	ts.queues[k].lastConflict = now
}

func (ts *contention) find(k documentKey) *readQueue {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.queues[k]
	if t == nil || time.Since(t.lastConflict) > contentionWindow {
		return nil
	}
	return t
}

// AcquireContended waits for the read queues of the documents that have had a recent conflict.
func (t *Transaction) AcquireContended(ctx context.Context, paths []name.Path) error {
	for _, p := range slices.SortedFunc(slices.Values(paths), name.Compare) {
		q := t.contention.find(documentKey{t.Database, p.String()})
		if q == nil {
			continue
		}
		if err := q.acquire(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (w *readQueue) acquire(ctx context.Context, t *Transaction) error {
	timer := time.NewTimer(maxQueueWait)
	defer timer.Stop()
	select {
	case w.holder <- struct{}{}:
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	release := sync.OnceFunc(func() { <-w.holder })
	releaseTimer := time.AfterFunc(maxQueueWait, release)
	t.releaseOnEnd(func() {
		releaseTimer.Stop()
		release()
	})
	return nil
}
