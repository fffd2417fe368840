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
func (c *contention) recordConflict(k documentKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for other, q := range c.queues {
		if now.Sub(q.lastConflict) > contentionWindow && len(q.holder) == 0 {
			delete(c.queues, other)
		}
	}
	if c.queues[k] == nil {
		c.queues[k] = &readQueue{holder: make(chan struct{}, 1)}
	}
	c.queues[k].lastConflict = now
}

func (c *contention) find(k documentKey) *readQueue {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.queues[k]
	if q == nil || time.Since(q.lastConflict) > contentionWindow {
		return nil
	}
	return q
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

func (q *readQueue) acquire(ctx context.Context, t *Transaction) error {
	timer := time.NewTimer(maxQueueWait)
	defer timer.Stop()
	select {
	case q.holder <- struct{}{}:
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	release := sync.OnceFunc(func() { <-q.holder })
	releaseTimer := time.AfterFunc(maxQueueWait, release)
	t.releaseOnEnd(func() {
		releaseTimer.Stop()
		release()
	})
	return nil
}
