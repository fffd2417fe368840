package queue

import (
	"context"
	"testing"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// drop deletes the subscription that the executors share.
func (f fixture) drop(ctx context.Context) error {
	return f.pubsub.Client.SubscriptionAdminClient.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: f.subscription(laneTopic(execution.Interactive))})
}

func (f fixture) dropTopic(ctx context.Context, topic string) error {
	return f.pubsub.Client.TopicAdminClient.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: topic})
}

// listen hears until the test ends. It returns once it hears.
func (f fixture) listen(t *testing.T) (<-chan execution.Ref, *task) {
	t.Helper()
	before := len(f.subscriptions(t))
	probe := execution.Ref{Owner: "probe", ID: exe(0)}
	heard, probed := make(chan execution.Ref, 100), make(chan struct{}, 100)
	listening := during(t, func(ctx context.Context) error {
		return f.Listen(ctx, func(ref execution.Ref) {
			if ref == probe {
				probed <- struct{}{}
				return
			}
			heard <- ref
		})
	})
	require.Eventually(t, func() bool { return len(f.subscriptions(t)) == before+1 }, patience, tick)
	require.NoError(t, f.Tell(t.Context(), execution.Change{Execution: execution.Execution{Owner: probe.Owner, ID: probe.ID, Lane: execution.Interactive, Status: execution.Succeeded}}))
	await(t, probed)
	return heard, listening
}

// Every process hears of every end, also of one that announces nothing.
func TestEveryListenerHearsEveryEnd(t *testing.T) {
	t.Parallel()
	f := start(t)
	first, _ := f.listen(t)
	second, _ := f.listen(t)
	require.NoError(t, f.Tell(t.Context(), execution.Change{Execution: execution.Execution{Owner: "ada", ID: exe(1), Lane: execution.Interactive, Status: execution.Succeeded}}))
	require.Equal(t, hello, await(t, first))
	require.Equal(t, hello, await(t, second))
	require.Empty(t, first)
}

// Nobody waits for what is only accepted or begun: there, a signal would cost
// every process something and help none.
func TestOnlyWhatSomebodyWaitsForIsSignalled(t *testing.T) {
	t.Parallel()
	f := start(t)
	heard, _ := f.listen(t)
	tell := func(e execution.Execution) {
		e.Owner, e.Lane = "ada", execution.Interactive
		require.NoError(t, f.Tell(t.Context(), execution.Change{Execution: e}))
	}
	tell(execution.Execution{ID: exe(0), Status: execution.Queued})
	tell(execution.Execution{ID: exe(1), Status: execution.Running})
	tell(execution.Execution{ID: exe(2), Status: execution.Running, CancelRequested: true})
	require.Equal(t, exe(2), await(t, heard).ID)
	tell(execution.Execution{ID: exe(3), Status: execution.Failed})
	require.Equal(t, exe(3), await(t, heard).ID)
}

func TestListenSurvivesRubbish(t *testing.T) {
	t.Parallel()
	f := start(t)
	heard, _ := f.listen(t)
	f.publish(t, signalsTopic, "rubbish")
	f.publish(t, signalsTopic, "[]")
	f.publish(t, signalsTopic, named)
	require.Equal(t, hello, await(t, heard))
}

func TestListenDeletesItsSubscription(t *testing.T) {
	t.Parallel()
	f := start(t)
	_, listening := f.listen(t)
	_, other := f.listen(t)
	shared := []string{f.subscription(deadTopic)}
	require.Len(t, f.subscriptions(t), len(lanes)+len(shared)+2)
	listening.stop()
	require.Len(t, f.subscriptions(t), len(lanes)+len(shared)+1, "its own, and no other")
	other.stop()
	for _, lane := range lanes {
		shared = append(shared, f.subscription(laneTopic(lane)))
	}
	require.ElementsMatch(t, shared, f.subscriptions(t))
}

// What nobody deletes, because its process was killed, Pub/Sub does.
func TestASubscriptionOfSignalsExpires(t *testing.T) {
	t.Parallel()
	f := start(t)
	f.listen(t)
	for _, name := range f.subscriptions(t) {
		sub, err := f.pubsub.Client.SubscriptionAdminClient.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: name})
		require.NoError(t, err)
		if sub.Topic == f.topic(signalsTopic) {
			require.EqualValues(t, 24*60*60, sub.ExpirationPolicy.Ttl.Seconds)
		}
	}
}

func TestListenWithoutTopicsSaysSo(t *testing.T) {
	t.Parallel()
	f := start(t)
	require.NoError(t, f.dropTopic(t.Context(), f.topic(signalsTopic)))
	require.Error(t, f.Listen(t.Context(), func(execution.Ref) {}))
}

// A listener ends when it is told to, also while Pub/Sub is away.
func TestAListenerEndsWhilePubSubIsAway(t *testing.T) {
	t.Parallel()
	f := start(t)
	_, listening := f.listen(t)
	f.pubsub.Away()
	listening.stop()
	f.pubsub.Back()
}
