package queue

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestPullReturnsPublishedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got, receive := f.receiveAll(t)
	var published, received []execution.Ref
	for i := range 20 {
		ref := execution.Ref{Tenant: fmt.Sprint("tenant", i%3), ID: executionID(i)}
		published = append(published, ref)
		f.publishRefs(t, ref)
	}
	for range published {
		received = append(received, await(t, got))
	}
	require.ElementsMatch(t, published, received)
	receive.stop()
	require.Empty(t, got)
}

func TestPublishManyOrNoNotifications(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	got, _ := f.receiveAll(t)
	f.publishRefs(t)
	refs := []execution.Ref{{Tenant: "ada", ID: executionID(1)}, {Tenant: "ada", ID: executionID(2)}}
	f.publishRefs(t, refs...)
	require.ElementsMatch(t, refs, []execution.Ref{await(t, got), await(t, got)})
}

func TestLanesAndRuntimesAreSeparate(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.Ensure(t.Context(), "gpu"))
	refs := map[Subscription]execution.Ref{}
	var change execution.Change
	for _, lane := range lanes {
		for _, runtime := range []string{runtime, "gpu"} {
			ref := execution.Ref{Tenant: "ada", ID: executionID(len(refs))}
			refs[Subscription{Lane: lane, Runtime: runtime}] = ref
			change.Notify = append(change.Notify, execution.Runnable{Ref: ref, Lane: lane, Runtime: runtime})
		}
	}
	require.NoError(t, f.Publish(t.Context(), change))
	for subscription, ref := range refs {
		notifications, err := f.Pull(t.Context(), subscription, 10)
		require.NoError(t, err)
		require.Len(t, notifications, 1)
		require.Equal(t, ref, notifications[0].Ref)
	}
}

// Pull leaves the other messages to other executors.
func TestPullRespectsLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var published, pulled []execution.Ref
	for i := range 5 {
		published = append(published, execution.Ref{Tenant: "ada", ID: executionID(i)})
	}
	f.publishRefs(t, published...)
	for len(pulled) < len(published) {
		notifications, err := f.Pull(t.Context(), interactive, 2)
		require.NoError(t, err)
		require.LessOrEqual(t, len(notifications), 2)
		for _, n := range notifications {
			pulled = append(pulled, n.Ref)
		}
	}
	require.ElementsMatch(t, published, pulled, "without an acknowledgement in between")
}

// After the first Nack the message is delivered again at once, later after a delay.
func TestNackRedelivers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publishRefs(t, sampleRef)
	require.NoError(t, f.pullOne(t).Nack(t.Context()))
	second := f.pullOne(t)
	require.Equal(t, sampleRef, second.Ref)
	began := time.Now()
	require.NoError(t, second.Nack(t.Context()))
	third := f.pullOne(t)
	require.Equal(t, sampleRef, third.Ref)
	require.GreaterOrEqual(t, time.Since(began), nackDelay(2))
	third.Acknowledge()
	f.Close()
	require.EqualValues(t, 1, f.recorder.acked.Load())
}

// A notification that nobody has tried to process comes back at once, each time.
func TestReturnRedeliversAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publishRefs(t, sampleRef)
	const times = 5
	for range times {
		require.NoError(t, f.pullOne(t).Return(t.Context()))
	}
	require.Equal(t, sampleRef, f.pullOne(t).Ref)
	f.Close()
	require.Equal(t, make([]time.Duration, times), f.recorder.nackDelays)
}

func TestNackDelay(t *testing.T) {
	const s = time.Second
	var delays []time.Duration
	var sum time.Duration
	for delivery := range maxDeliveries + 1 {
		delays = append(delays, nackDelay(delivery))
		sum += nackDelay(delivery)
	}
	want := []time.Duration{0, 0, s, 2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 512 * s, maxNackDelay, maxNackDelay}
	require.Equal(t, want, delays[:len(want)])
	require.Equal(t, maxNackDelay, delays[maxDeliveries])
	require.Greater(t, sum, 15*time.Hour, "an outage of 15 hours makes no dead letter")
}

func TestPullEndsWithContext(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := f.Pull(ctx, interactive, 1)
		done <- err
	}()
	cancel()
	require.Error(t, await(t, done))
	f.publishRefs(t, sampleRef)
	require.Equal(t, sampleRef, f.pullOne(t).Ref, "the ended Pull holds no message")
}

// Pull returns an error if its subscription does not exist, or if Pub/Sub is unreachable.
func TestPullReturnsErrorWithoutRetry(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	require.NoError(t, f.deleteLaneSubscription(ctx))
	_, err := f.Pull(ctx, interactive, 1)
	require.Error(t, err)
	f.pubsub.Stop()
	_, err = f.Pull(ctx, interactive, 1)
	require.Error(t, err)
	require.NoError(t, ctx.Err(), "Pull does not retry")
}

func TestPullLeavesNoGoroutines(t *testing.T) {
	f := newFixture(t)
	before := goleak.IgnoreCurrent()
	got, receive := f.receiveAll(t)
	f.publishRefs(t, sampleRef)
	await(t, got)
	receive.stop()
	goleak.VerifyNone(t, append(emulatortest.IgnoredGoroutines(), before)...)
}
