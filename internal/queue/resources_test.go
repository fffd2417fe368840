package queue

import (
	"context"
	"errors"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"google.golang.org/api/iterator"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// ensuredResources returns what Ensure creates.
func ensuredResources(t *testing.T) (r pubsubemulator.Resources) {
	t.Helper()
	f := newFixture(t)
	topics := f.pubsub.Client.TopicAdminClient.ListTopics(t.Context(), &pubsubpb.ListTopicsRequest{Project: "projects/" + emulatortest.Project})
	for {
		topic, err := topics.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		require.NoError(t, err)
		r.Topics = append(r.Topics, topic)
	}
	for _, name := range f.listSubscriptions(t) {
		s, err := f.pubsub.Client.SubscriptionAdminClient.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: name})
		require.NoError(t, err)
		r.Subscriptions = append(r.Subscriptions, s)
	}
	return r
}

// newUnmanagedFixture returns a queue that may make no admin call, over topics and subscriptions of an operator.
func newUnmanagedFixture(t *testing.T, r pubsubemulator.Resources) fixture {
	t.Helper()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{Create: r, DenyAdmin: true})
	q := New(p.Client, Unmanaged)
	t.Cleanup(q.Close)
	require.NoError(t, q.Ensure(t.Context()), "it makes no admin call")
	return fixture{Queue: q, pubsub: p, recorder: new(ackRecorder)}
}

func TestUnmanagedQueueMakesNoAdminCall(t *testing.T) {
	t.Parallel()
	f := newUnmanagedFixture(t, ensuredResources(t))
	for range 2 {
		require.NoError(t, f.Check(t.Context()))
	}
	f.publishRefs(t, sampleRef)
	f.publishRaw(t, laneTopic(execution.LaneInteractive), "not JSON")
	var n Notification
	require.Eventually(t, func() bool {
		found, err := f.Pull(t.Context(), interactive, 10)
		require.NoError(t, err)
		if len(found) > 0 {
			n = found[0]
		}
		return len(found) > 0
	}, waitTimeout, pollInterval)
	require.Equal(t, sampleRef, n.Ref, "a probe is no notification")
	require.NoError(t, n.Nack(t.Context()))
	f.pullOne(t).Acknowledge()
	require.Equal(t, "not JSON", string(f.awaitDeadLetters(t, 1)[0].Data), "a probe is no dead letter")
	require.NoError(t, f.PullError())

	managed := New(f.pubsub.Client)
	defer managed.Close()
	require.ErrorContains(t, managed.Ensure(t.Context()), "PermissionDenied")
}

func TestMissingResourcesAreNamed(t *testing.T) {
	t.Parallel()
	f := newUnmanagedFixture(t, pubsubemulator.Resources{})
	require.EqualError(t, f.Check(t.Context()),
		"topic executions-interactive not found: create it, or set AIRLOCK_PUBSUB_MANAGE=true; see docs/configuration.md. "+
			"topic executions-batch not found: create it, or set AIRLOCK_PUBSUB_MANAGE=true; see docs/configuration.md")
	_, err := f.Pull(t.Context(), batch, 1)
	want := "subscription executions-batch-offline not found: create it, or set AIRLOCK_PUBSUB_MANAGE=true; see docs/configuration.md"
	require.EqualError(t, err, want)
	require.EqualError(t, f.PullError(), want)
	_, err = f.Pull(t.Context(), interactive, 1)
	require.Error(t, err)
	require.EqualError(t, f.PullError(), want+". "+err.Error())
	_, ok := errors.AsType[*ResourceError](f.Publish(t.Context(), newChange(1, execution.Queued, sampleRef)))
	require.True(t, ok)

	managed := newFixture(t)
	require.NoError(t, managed.deleteTopic(t.Context(), managed.topic(laneTopic(execution.LaneBatch))))
	require.ErrorContains(t, managed.Check(t.Context()), "topic executions-batch not found")
}

// The queue goes on by itself when the operator has created what was missing.
func TestMissingResourcesAreFoundLater(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client, Unmanaged)
	defer q.Close()
	require.Error(t, q.Check(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	_, err := q.Pull(ctx, interactive, 1)
	require.Error(t, err)
	operator := New(p.Client)
	defer operator.Close()
	require.NoError(t, operator.Ensure(t.Context(), runtime))
	require.NoError(t, q.Check(t.Context()))
	require.NoError(t, q.Publish(ctx, newChange(1, execution.Queued, sampleRef)))
	found, err := q.Pull(ctx, interactive, 1)
	require.NoError(t, err)
	require.Equal(t, sampleRef, found[0].Ref, "nobody receives the probe")
	require.NoError(t, q.PullError())
}

func TestDeniedResourcesAreNamed(t *testing.T) {
	t.Parallel()
	err := &ResourceError{Kind: "subscription", Name: "executions-batch", Denied: true}
	require.EqualError(t, err, "subscription executions-batch: permission denied: grant roles/pubsub.subscriber on it")
}
