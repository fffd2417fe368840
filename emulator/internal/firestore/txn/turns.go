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
	contended = 10 * time.Second
	// maxTurn bounds how long a transaction may keep others waiting, and how long one waits: beyond it they go on
	// without, and the check at the commit decides. A deadlock ends so, too.
	maxTurn = time.Second
)

type turnKey struct {
	database name.Database
	path     string
}

// turns lines up the readers of documents that have been fought over. It is about progress only; that no update is
// lost is up to Transaction.Check.
type turns struct {
	mu  sync.Mutex
	hot map[turnKey]*turn
}

type turn struct {
	slot chan struct{} // full while somebody has the turn; those who wait are served in order
	last time.Time     // of the latest conflict, by the monotonic clock
}

func newTurns() *turns { return &turns{hot: map[turnKey]*turn{}} }

// contend notes a conflict over a document.
func (ts *turns) contend(k turnKey) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	now := time.Now()
	for other, t := range ts.hot {
		if now.Sub(t.last) > contended && len(t.slot) == 0 {
			delete(ts.hot, other)
		}
	}
	if ts.hot[k] == nil {
		ts.hot[k] = &turn{slot: make(chan struct{}, 1)}
	}
	ts.hot[k].last = now
}

func (ts *turns) find(k turnKey) *turn {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.hot[k]
	if t == nil || time.Since(t.last) > contended {
		return nil
	}
	return t
}

// Await waits until it is this transaction's turn to read the documents, where that takes turns at all.
func (t *Transaction) Await(ctx context.Context, paths []name.Path) error {
	for _, p := range slices.SortedFunc(slices.Values(paths), name.Compare) {
		turn := t.turns.find(turnKey{t.Database, p.String()})
		if turn == nil {
			continue
		}
		if err := turn.await(ctx, t); err != nil {
			return err
		}
	}
	return nil
}

func (w *turn) await(ctx context.Context, t *Transaction) error {
	patience := time.NewTimer(maxTurn)
	defer patience.Stop()
	select {
	case w.slot <- struct{}{}:
	case <-patience.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	release := sync.OnceFunc(func() { <-w.slot })
	limit := time.AfterFunc(maxTurn, release)
	t.hold(func() {
		limit.Stop()
		release()
	})
	return nil
}
