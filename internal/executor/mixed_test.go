package executor

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/queue"
)

// countingQueue is a real queue that counts what it has delivered.
type countingQueue struct {
	*queue.Queue
	delivered *atomic.Int32
}

func (q countingQueue) Pull(ctx context.Context, from queue.Subscription, limit int) ([]queue.Notification, error) {
	notifications, err := q.Queue.Pull(ctx, from, limit)
	q.delivered.Add(int32(len(notifications)))
	return notifications, err
}

// Only executors with the runtime get its notifications, and they get them at once, in their order.
func TestNotificationsReachOnlyExecutorsWithTheRuntime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	both := twoRuntimes()
	foreign := countingQueue{f.queue, new(atomic.Int32)}
	for i := range 7 {
		c := testConfig()
		c.Name = fmt.Sprint("without", i)
		x := f.newExecutor(c, f.store, foreign, answeringSandbox("b"))
		x.config.Runtimes = agentruntime.NewRegistry(both.All()[1])
		f.start(x)
	}
	c := testConfig()
	c.Slots = 1
	x := f.newExecutor(c, f.store, f.queue, answeringSandbox("a"))
	x.config.Runtimes = agentruntime.NewRegistry(both.All()[0])
	var refs []execution.Ref
	for i := range 10 {
		refs = append(refs, f.submit("a", fmt.Sprint(i)))
	}
	f.start(x)
	var previous execution.Execution
	for i, ref := range refs {
		e := f.await(ref, execution.Succeeded)
		require.Equal(t, 1, e.Attempt)
		require.Equal(t, "a", e.Result.Text)
		if i > 0 {
			require.True(t, e.StartedAt.After(*previous.StartedAt), "%d overtook %d", i, i-1)
		}
		previous = e
	}
	require.Zero(t, foreign.delivered.Load())
	f.await(f.submit("b", "x"), execution.Succeeded)
	require.EqualValues(t, 1, foreign.delivered.Load())
}

// An operator who must create several subscriptions learns of all of them at once. The executor goes on by itself.
func TestAllMissingSubscriptionsAreNamed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	pubsub := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	operator, q := queue.New(pubsub.Client), queue.New(pubsub.Client, queue.Unmanaged)
	defer operator.Close()
	defer q.Close()
	x := f.newExecutor(testConfig(), f.store, q, answeringSandbox("done"))
	x.config.Runtimes = twoRuntimes()
	f.start(x)
	missing := func(runtime string, lane execution.Lane) bool {
		name := queue.Subscription{Lane: lane, Runtime: runtime}.Name()
		err := q.PullError()
		return err != nil && strings.Contains(err.Error(), "subscription "+name+" not found")
	}
	for _, runtime := range []string{"a", "b"} {
		for _, lane := range []execution.Lane{execution.LaneInteractive, execution.LaneBatch} {
			require.Eventually(t, func() bool { return missing(runtime, lane) }, waitTimeout, pollInterval)
		}
	}
	require.NoError(t, operator.Ensure(t.Context(), "a", "b"))
	ch := f.storeRun("b", "x")
	require.NoError(t, q.Publish(t.Context(), ch))
	f.await(ch.Execution.Ref(), execution.Succeeded)
	require.Eventually(t, func() bool { return q.PullError() == nil }, waitTimeout, pollInterval)
}
