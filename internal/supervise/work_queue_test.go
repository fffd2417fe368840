package supervise_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/supervise"
)

// calls records the calls of a work queue.
type calls struct {
	mu   sync.Mutex
	keys []string
	at   []time.Time
}

func (c *calls) add(k string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.keys, c.at = append(c.keys, k), append(c.at, time.Now())
}

func (c *calls) count(k string) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, called := range c.keys {
		if called == k {
			n++
		}
	}
	return n
}

// start runs a queue until the test ends or stop is called.
func start(t *testing.T, delay time.Duration, workers int, f func(context.Context, string) error) (q *supervise.WorkQueue[string], stop func()) {
	t.Helper()
	q = supervise.NewWorkQueue(supervise.NewBackoffs[string](supervise.Sweep, zap.NewNop(), isOutage), delay)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { q.Run(ctx, workers, f) })
	stop = func() { cancel(); running.Wait() }
	t.Cleanup(stop)
	return q, stop
}

func TestKeysOfOneDelayAreOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		q, stop := start(t, time.Second, 2, func(_ context.Context, k string) error { c.add(k); return nil })
		startedAt := time.Now()
		for range 3 {
			q.Add("a")
			time.Sleep(100 * time.Millisecond)
		}
		q.Add("b")
		time.Sleep(time.Minute)
		stop()
		require.Equal(t, []string{"a", "b"}, c.keys)
		require.Equal(t, []time.Time{startedAt.Add(time.Second), startedAt.Add(1300 * time.Millisecond)}, c.at)
	})
}

// A key that is added during its call is called once more afterwards.
func TestKeyIsCalledOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		running := 0
		q, _ := start(t, 0, 8, func(_ context.Context, k string) error {
			running++
			require.Equal(t, 1, running)
			time.Sleep(time.Second)
			running--
			c.add(k)
			return nil
		})
		q.Add("a")
		time.Sleep(500 * time.Millisecond)
		q.Add("a")
		q.Add("a")
		time.Sleep(time.Minute)
		require.Equal(t, 2, c.count("a"))
	})
}

// A key that fails, and one whose call takes long, do not delay another one.
func TestBadKeyDoesNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		var q *supervise.WorkQueue[string]
		q, _ = start(t, 0, 2, func(_ context.Context, k string) error {
			c.add(k)
			switch k {
			case "bad":
				return errBad
			case "slow":
				time.Sleep(20 * time.Second)
				return errUnavailable
			}
			time.Sleep(10 * time.Millisecond)
			q.Add(k)
			return nil
		})
		for _, k := range []string{"bad", "slow", "good"} {
			q.Add(k)
		}
		time.Sleep(10 * time.Second)
		require.GreaterOrEqual(t, c.count("good"), 900)
		failures := c.count("bad")
		require.LessOrEqual(t, failures, 12)
		time.Sleep(2 * time.Minute)
		require.Greater(t, c.count("bad"), failures, "it is called again and again")
		require.Greater(t, c.count("slow"), 1)
	})
}

func TestKeysHaveTurnsInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c calls
		var q *supervise.WorkQueue[string]
		var stop func()
		q, stop = start(t, 0, 1, func(_ context.Context, k string) error {
			c.add(k)
			time.Sleep(time.Millisecond)
			q.Add(k)
			return nil
		})
		for _, k := range []string{"a", "b", "c"} {
			q.Add(k)
			time.Sleep(100 * time.Microsecond)
		}
		time.Sleep(40 * time.Millisecond)
		stop()
		require.Equal(t, slices.Repeat([]string{"a", "b", "c"}, 10), c.keys[:30])
	})
}

// What a stop interrupts or prevents can be drained.
func TestStoppedQueueKeepsUnfinishedKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q, stop := start(t, 0, 1, func(ctx context.Context, _ string) error {
			<-ctx.Done()
			return ctx.Err()
		})
		for _, k := range []string{"interrupted", "waiting"} {
			q.Add(k)
			synctest.Wait()
		}
		stop()
		require.ElementsMatch(t, []string{"interrupted", "waiting"}, q.Drain())
		require.Empty(t, q.Drain())
	})
}
