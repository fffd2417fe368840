package queue

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// Listen calls hear for every execution that has ended or is to be cancelled,
// concurrently, until ctx ends. Who hears reads the document. It hears
// through a subscription of its own, which it deletes on the way out; Pub/Sub
// deletes those of processes that were killed after a day.
func (q *Queue) Subscribe(ctx context.Context, onSignal func(execution.Ref)) error {
	name := id.New(signalTopic + "-")
	_, err := q.client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name:                     q.subscription(name),
		Topic:                    q.topic(signalTopic),
		AckDeadlineSeconds:       10,
		MessageRetentionDuration: durationpb.New(10 * time.Minute), // the shortest there is
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)},
	})
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", name, err)
	}
	defer func() {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		// Failing to delete it leaves it to its expiry.
		_ = q.client.SubscriptionAdminClient.DeleteSubscription(cleanupCtx, &pubsubpb.DeleteSubscriptionRequest{Subscription: q.subscription(name)})
	}()
	sub := q.client.Subscriber(name)
	// No signal is worth waiting for. And without a time-out the client, when it is to stop while Pub/Sub is away,
	// waits until Pub/Sub is back: a process that nobody could end.
	sub.ReceiveSettings.ShutdownOptions = &pubsub.ShutdownOptions{Behavior: pubsub.ShutdownBehaviorWaitForProcessing, Timeout: 0}
	return sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		if ref := decode(m.Data); ref != (execution.Ref{}) {
			onSignal(ref)
		}
		m.Ack()
	})
}
