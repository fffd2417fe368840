package queue

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestEnsureIsRepeatableAndConcurrent(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	defer q.Close()
	require.Error(t, q.Check(t.Context()), "there is nothing yet")
	for range 2 {
		var g errgroup.Group
		for range 10 {
			g.Go(func() error { return q.Ensure(t.Context()) })
		}
		require.NoError(t, g.Wait())
	}
	require.NoError(t, q.Check(t.Context()))
	sub, err := p.Client.SubscriptionAdminClient.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: q.subscription(laneTopic(execution.LaneInteractive))})
	require.NoError(t, err)
	require.EqualValues(t, 10, sub.AckDeadlineSeconds)
	require.Nil(t, sub.RetryPolicy, "what is given back at once comes at once")
	require.Equal(t, q.topic(deadLetterTopic), sub.DeadLetterPolicy.DeadLetterTopic)
	require.EqualValues(t, maxDeliveries, sub.DeadLetterPolicy.MaxDeliveryAttempts)
	require.NotNil(t, sub.ExpirationPolicy)
	require.Nil(t, sub.ExpirationPolicy.Ttl, "it never expires, however long nobody runs an executor")
}

// A subscription that was made before is brought up to date.
func TestEnsureUpdatesExistingSubscription(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	defer q.Close()
	lane := laneTopic(execution.LaneBatch)
	require.NoError(t, q.ensureTopic(t.Context(), lane))
	_, err := p.Client.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: q.subscription(lane), Topic: q.topic(lane), AckDeadlineSeconds: 30,
		RetryPolicy: &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second)},
	})
	require.NoError(t, err)
	require.NoError(t, q.Ensure(t.Context()))
	sub, err := p.Client.SubscriptionAdminClient.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: q.subscription(lane)})
	require.NoError(t, err)
	require.EqualValues(t, 10, sub.AckDeadlineSeconds)
	require.Nil(t, sub.RetryPolicy)
	require.NotNil(t, sub.DeadLetterPolicy)
}

func TestEnsureKeepsPendingNotifications(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publishRefs(t, sampleRef)
	require.NoError(t, f.Ensure(t.Context()))
	got, _ := f.receiveAll(t)
	require.Equal(t, sampleRef, await(t, got))
}

// A caller of the API waits for Tell, and the end of a process for Close: both
// are bounded. Tell says that it failed.
func TestPublishTimesOutDuringOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.pubsub.Stop()
	began := time.Now()
	err := f.Publish(t.Context(), execution.Change{Execution: execution.Execution{Tenant: "ada", ID: executionID(1), Lane: execution.LaneInteractive}, Notify: []execution.Ref{sampleRef}})
	require.Error(t, err)
	require.Less(t, time.Since(began), publishTimeout+2*time.Second)
	f.pubsub.Start()
	f.publishRefs(t, sampleRef)
	got, _ := f.receiveAll(t)
	require.Equal(t, sampleRef, await(t, got), "it goes on once Pub/Sub is back")
}

func TestPublishWithoutTopics(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	defer q.Close()
	require.Error(t, q.Publish(t.Context(), execution.Change{Execution: execution.Execution{Tenant: "ada", ID: executionID(1), Lane: execution.LaneInteractive, Status: execution.Succeeded}}))
}

func TestCloseTimesOutDuringOutage(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	require.NoError(t, q.Ensure(t.Context()))
	p.Stop()
	began := time.Now()
	require.Error(t, q.Publish(t.Context(), execution.Change{Execution: execution.Execution{Tenant: "ada", ID: executionID(1), Lane: execution.LaneInteractive, Status: execution.Succeeded}}))
	q.Close()
	require.Less(t, time.Since(began), publishTimeout+2*time.Second)
}
