package txn

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/emulator/internal/firestore/name"
)

const (
	// contended is how long after a conflict a document is read in turns.
	contentionWindow = 10 * time.Second
	// maxTurn bounds how long a transaction may keep others waiting, and how long one waits: beyond it they go on
	// without, and the check at the commit decides. A deadlock ends so, too.
	maxQueueWait = time.Second
)

type documentKey struct {
	database name.Database
	path     string
}

// turns lines up the readers of documents that have been fought over. It is about progress only; that no update is
// lost is up to Transaction.Check.
type contention struct {
	mu     sync.Mutex
	queues map[documentKey]*readQueue
}

type readQueue struct {
	holder       chan struct{} // full while somebody has the turn; those who wait are served in order
	lastConflict time.Time     // of the latest conflict, by the monotonic clock
}

func newContention() *contention { return &contention{queues: map[documentKey]*readQueue{}} }

// contend notes a conflict over a document.
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

// Await waits until it is this transaction's turn to read the documents, where that takes turns at all.
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
