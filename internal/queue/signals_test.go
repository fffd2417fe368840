package queue

import (
	"context"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// drop deletes the subscription that the executors share.
func (f fixture) deleteLaneSubscription(ctx context.Context) error {
	return f.pubsub.Client.SubscriptionAdminClient.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: f.subscription(laneTopic(execution.LaneInteractive))})
}

func (f fixture) deleteTopic(ctx context.Context, topic string) error {
	return f.pubsub.Client.TopicAdminClient.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: topic})
}

// listen hears until the test ends. It returns once it hears.
func (f fixture) subscribe(t *testing.T) (<-chan execution.Ref, *backgroundTask) {
	t.Helper()
	before := len(f.listSubscriptions(t))
	probe := execution.Ref{Tenant: "probe", ID: executionID(0)}
	signals, probed := make(chan execution.Ref, 100), make(chan struct{}, 100)
	subscriber := runInBackground(t, func(ctx context.Context) error {
		return f.Subscribe(ctx, func(ref execution.Ref) {
			if ref == probe {
				probed <- struct{}{}
				return
			}
			signals <- ref
		})
	})
	require.Eventually(t, func() bool { return len(f.listSubscriptions(t)) == before+1 }, waitTimeout, pollInterval)
	require.NoError(t, f.Publish(t.Context(), execution.Change{Execution: execution.Execution{Tenant: probe.Tenant, ID: probe.ID, Lane: execution.LaneInteractive, Status: execution.Succeeded}}))
	await(t, probed)
	return signals, subscriber
}

// Every process hears of every end, also of one that announces nothing.
func TestEverySubscriberReceivesEverySignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first, _ := f.subscribe(t)
	second, _ := f.subscribe(t)
	require.NoError(t, f.Publish(t.Context(), execution.Change{Execution: execution.Execution{Tenant: "ada", ID: executionID(1), Lane: execution.LaneInteractive, Status: execution.Succeeded}}))
	require.Equal(t, sampleRef, await(t, first))
	require.Equal(t, sampleRef, await(t, second))
	require.Empty(t, first)
}

// Nobody waits for what is only accepted or begun: there, a signal would cost
// every process something and help none.
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
	f.publishRaw(t, signalTopic, "rubbish")
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
	require.Len(t, f.listSubscriptions(t), len(lanes)+len(shared)+1, "its own, and no other")
	other.stop()
	for _, lane := range lanes {
		shared = append(shared, f.subscription(laneTopic(lane)))
	}
	require.ElementsMatch(t, shared, f.listSubscriptions(t))
}

// What nobody deletes, because its process was killed, Pub/Sub does.
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

// A listener ends when it is told to, also while Pub/Sub is away.
func TestSubscribeEndsDuringOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	_, subscriber := f.subscribe(t)
	f.pubsub.Stop()
	subscriber.stop()
	f.pubsub.Start()
}
