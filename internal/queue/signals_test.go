package queue

import (
	"context"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// deleteLaneSubscription deletes the subscription of the interactive lane.
func (f fixture) deleteLaneSubscription(ctx context.Context) error {
	request := &pubsubpb.DeleteSubscriptionRequest{Subscription: f.subscription(laneTopic(execution.LaneInteractive))}
	return f.pubsub.Client.SubscriptionAdminClient.DeleteSubscription(ctx, request)
}

func (f fixture) deleteTopic(ctx context.Context, topic string) error {
	return f.pubsub.Client.TopicAdminClient.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: topic})
}

// subscribe receives signals until the test ends. It returns once a first signal has arrived.
func (f fixture) subscribe(t *testing.T) (<-chan execution.Ref, *backgroundTask) {
	t.Helper()
	before := len(f.listSubscriptions(t))
	probe := newChange(0, execution.Succeeded)
	probe.Execution.Tenant = "probe"
	signals, probed := make(chan execution.Ref, 100), make(chan struct{}, 100)
	subscriber := runInBackground(t, func(ctx context.Context) error {
		return f.Subscribe(ctx, func(ref execution.Ref) {
			if ref == probe.Execution.Ref() {
				probed <- struct{}{}
				return
			}
			signals <- ref
		})
	})
	require.Eventually(t, func() bool { return len(f.listSubscriptions(t)) == before+1 }, waitTimeout, pollInterval)
	require.NoError(t, f.Publish(t.Context(), probe))
	await(t, probed)
	return signals, subscriber
}

// Every process receives a signal of every end, also if the change needs no notification.
func TestEverySubscriberReceivesEverySignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, _ := f.subscribe(t)
	second, _ := f.subscribe(t)
	require.NoError(t, f.Publish(t.Context(), newChange(1, execution.Succeeded)))
	require.Equal(t, sampleRef, await(t, first))
	require.Equal(t, sampleRef, await(t, second))
	require.Empty(t, first)
}

// No process waits for the acceptance or the start of an execution, so there is no signal of them.
func TestSignalsOnlyTerminalAndCancelRequested(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signals, _ := f.subscribe(t)
	publish := func(e execution.Execution) {
		e.Tenant, e.Lane = "ada", execution.LaneInteractive
		require.NoError(t, f.Publish(t.Context(), execution.Change{Execution: e}))
	}
	publish(execution.Execution{ID: executionID(0), Status: execution.Queued})
	publish(execution.Execution{ID: executionID(1), Status: execution.Running})
	publish(execution.Execution{ID: executionID(2), Status: execution.Running, CancelRequested: true})
	require.Equal(t, executionID(2), await(t, signals).ID)
	publish(execution.Execution{ID: executionID(3), Status: execution.Failed})
	require.Equal(t, executionID(3), await(t, signals).ID)
}

func TestSubscribeIgnoresInvalidMessages(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	signals, _ := f.subscribe(t)
	f.publishRaw(t, signalTopic, "not JSON")
	f.publishRaw(t, signalTopic, "[]")
	f.publishRaw(t, signalTopic, sampleMessage)
	require.Equal(t, sampleRef, await(t, signals))
}

func TestSubscribeDeletesItsSubscription(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, subscriber := f.subscribe(t)
	_, other := f.subscribe(t)
	shared := []string{f.subscription(deadLetterTopic)}
	require.Len(t, f.listSubscriptions(t), len(lanes)+len(shared)+2)
	subscriber.stop()
	require.Len(t, f.listSubscriptions(t), len(lanes)+len(shared)+1, "only its own subscription was deleted")
	other.stop()
	for _, lane := range lanes {
		shared = append(shared, f.subscription(laneTopic(lane)))
	}
	require.ElementsMatch(t, shared, f.listSubscriptions(t))
}

// Pub/Sub deletes the subscription of a process that was killed.
func TestSignalSubscriptionExpires(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.subscribe(t)
	for _, name := range f.listSubscriptions(t) {
		sub, err := f.pubsub.Client.SubscriptionAdminClient.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: name})
		require.NoError(t, err)
		if sub.Topic == f.topic(signalTopic) {
			require.EqualValues(t, 24*60*60, sub.ExpirationPolicy.Ttl.Seconds)
		}
	}
}

func TestSubscribeWithoutTopics(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.deleteTopic(t.Context(), f.topic(signalTopic)))
	require.Error(t, f.Subscribe(t.Context(), func(execution.Ref) {}))
}

// Subscribe ends with its context, also during an outage of Pub/Sub.
func TestSubscribeEndsDuringOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, subscriber := f.subscribe(t)
	f.pubsub.Stop()
	subscriber.stop()
	f.pubsub.Start()
}
