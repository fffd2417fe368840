package supervise

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// idleWait is how long an empty WorkQueue sleeps at most. An Add wakes it.
const idleWait = time.Hour

// WorkQueue calls a function for each key that is added: for several keys at the same time, and for one key once at a
// time. A key that is added several times before its call is one key. A key whose call fails is called again after a
// back-off of its own. Keys have their turns in the order in which they were added. It is safe for concurrent use.
type WorkQueue[K comparable] struct {
	backoffs *Backoffs[K]
	delay    time.Duration
	changed  chan struct{} // receives after an Add and after the end of a call

	mu        sync.Mutex
	notBefore map[K]time.Time // the keys that are to be called, and when
	running   map[K]struct{}
}

// NewWorkQueue returns an empty queue; Run calls the function. delay is the time from Add to the call: what is added
// within it becomes one call.
func NewWorkQueue[K comparable](backoffs *Backoffs[K], delay time.Duration) *WorkQueue[K] {
	return &WorkQueue[K]{
		backoffs: backoffs, delay: delay, changed: make(chan struct{}, 1),
		notBefore: map[K]time.Time{}, running: map[K]struct{}{},
	}
}

// Add adds a key. It never blocks.
func (q *WorkQueue[K]) Add(k K) { q.AddAfter(k, q.delay) }

// AddAfter adds a key whose call comes after a wait, or earlier if it is added again with a shorter one. It never
// blocks.
func (q *WorkQueue[K]) AddAfter(k K, wait time.Duration) {
	at := time.Now().Add(max(wait, q.backoffs.Wait(k)))
	q.mu.Lock()
	if pending, ok := q.notBefore[k]; !ok || at.Before(pending) {
		q.notBefore[k] = at
	}
	q.mu.Unlock()
	q.wake()
}

// Run calls f for the keys, for at most workers keys at the same time, until ctx ends. Then it waits for the calls. The
// keys that are left can be drained.
func (q *WorkQueue[K]) Run(ctx context.Context, workers int, f func(context.Context, K) error) {
	var calls errgroup.Group
	calls.SetLimit(workers)
	for ctx.Err() == nil {
		ready, wait := q.take()
		for _, k := range ready {
			calls.Go(func() error {
				q.call(ctx, k, f)
				return nil
			})
		}
		select {
		case <-ctx.Done():
		case <-q.changed:
		case <-time.After(wait):
		}
	}
	_ = calls.Wait() // always nil
}

// Drain removes the keys that wait for their call and returns them.
func (q *WorkQueue[K]) Drain() []K {
	q.mu.Lock()
	defer q.mu.Unlock()
	keys := slices.Collect(maps.Keys(q.notBefore))
	clear(q.notBefore)
	return keys
}

// take removes the keys whose time has come and marks them as running. It returns the time until the next one.
func (q *WorkQueue[K]) take() (ready []K, wait time.Duration) {
	q.mu.Lock()
	defer q.mu.Unlock()
	wait = idleWait
	now := time.Now()
	for k, at := range q.notBefore {
		if _, running := q.running[k]; running {
			continue
		}
		if at.After(now) {
			wait = min(wait, at.Sub(now))
			continue
		}
		ready = append(ready, k)
	}
	slices.SortFunc(ready, func(a, b K) int { return q.notBefore[a].Compare(q.notBefore[b]) })
	for _, k := range ready {
		delete(q.notBefore, k)
		q.running[k] = struct{}{}
	}
	return ready, wait
}

// call calls f, unless ctx has ended. A key whose call failed or did not begin stays in the queue.
func (q *WorkQueue[K]) call(ctx context.Context, k K, f func(context.Context, K) error) {
	err := ctx.Err()
	if err == nil {
		err = q.backoffs.Do(ctx, k, func(ctx context.Context) error { return f(ctx, k) })
	}
	q.mu.Lock()
	delete(q.running, k)
	if err != nil {
		q.notBefore[k] = time.Now().Add(q.backoffs.Wait(k))
	}
	q.mu.Unlock()
	q.wake()
}

func (q *WorkQueue[K]) wake() {
	select {
	case q.changed <- struct{}{}:
	default:
	}
}
