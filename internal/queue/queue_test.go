package queue

import (
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/testing/protocmp"
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
	require.Error(t, q.Check(t.Context()), "no topic exists yet")
	for range 2 {
		var g errgroup.Group
		for range 10 {
			g.Go(func() error { return q.Ensure(t.Context(), runtime) })
		}
		require.NoError(t, g.Wait())
	}
	require.NoError(t, q.Check(t.Context()))
	request := &pubsubpb.GetSubscriptionRequest{Subscription: q.subscription(interactive.Name())}
	sub, err := p.Client.SubscriptionAdminClient.GetSubscription(t.Context(), request)
	require.NoError(t, err)
	require.EqualValues(t, 10, sub.AckDeadlineSeconds)
	require.Nil(t, sub.RetryPolicy, "a retry policy would delay the first redelivery")
	require.Equal(t, `attributes.runtime = "offline"`, sub.Filter)
	require.Equal(t, q.topic(deadLetterTopic), sub.DeadLetterPolicy.DeadLetterTopic)
	require.EqualValues(t, maxDeliveries, sub.DeadLetterPolicy.MaxDeliveryAttempts)
	require.NotNil(t, sub.ExpirationPolicy)
	require.Nil(t, sub.ExpirationPolicy.Ttl, "the subscription never expires")
}

// An existing subscription belongs to the operator.
func TestEnsureKeepsSettingsOfExistingSubscription(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	defer q.Close()
	name, topic := q.subscription(batch.Name()), laneTopic(execution.LaneBatch)
	require.NoError(t, q.ensureTopic(t.Context(), topic))
	before, err := p.Client.SubscriptionAdminClient.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: name, Topic: q.topic(topic), AckDeadlineSeconds: 30,
		RetryPolicy: &pubsubpb.RetryPolicy{MinimumBackoff: durationpb.New(time.Second)},
	})
	require.NoError(t, err)
	require.NoError(t, q.Ensure(t.Context(), runtime))
	after, err := p.Client.SubscriptionAdminClient.GetSubscription(t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: name})
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(before, after, protocmp.Transform()))
}

func TestEnsureKeepsPendingNotifications(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.publishRefs(t, sampleRef)
	require.NoError(t, f.Ensure(t.Context(), runtime))
	got, _ := f.receiveAll(t)
	require.Equal(t, sampleRef, await(t, got))
}

// A caller of the API waits for Publish, and the end of a process for Close. Both are bounded during an outage, and
// Publish returns an error.
func TestPublishTimesOutDuringOutage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.pubsub.Stop()
	began := time.Now()
	err := f.Publish(t.Context(), newChange(1, execution.Queued, sampleRef))
	require.Error(t, err)
	require.Less(t, time.Since(began), publishTimeout+2*time.Second)
	f.pubsub.Start()
	f.publishRefs(t, sampleRef)
	got, _ := f.receiveAll(t)
	require.Equal(t, sampleRef, await(t, got), "publishing works again after the outage")
}

func TestPublishWithoutTopics(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	defer q.Close()
	require.Error(t, q.Publish(t.Context(), newChange(1, execution.Queued, sampleRef)))
}

func TestCloseTimesOutDuringOutage(t *testing.T) {
	t.Parallel()
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{})
	q := New(p.Client)
	require.NoError(t, q.Ensure(t.Context(), runtime))
	p.Stop()
	began := time.Now()
	require.Error(t, q.Publish(t.Context(), newChange(1, execution.Queued, sampleRef)))
	q.Close()
	require.Less(t, time.Since(began), publishTimeout+2*time.Second)
}
