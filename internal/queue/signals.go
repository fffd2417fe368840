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

// signalTopic carries the signals. Every process has a subscription of its own.
const signalTopic = "executions-signals"

// Subscribe calls onSignal for every execution that has ended or must be canceled, concurrently, until ctx ends. The
// caller reads the execution's document. Subscribe creates a subscription and deletes it at the end. If the process is
// killed, Pub/Sub deletes the subscription after a day.
func (q *Queue) Subscribe(ctx context.Context, onSignal func(execution.Ref)) error {
	name := id.New(signalTopic + "-")
	_, err := q.client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name:                     q.subscription(name),
		Topic:                    q.topic(signalTopic),
		AckDeadlineSeconds:       int32(ackDeadline.Seconds()),
		MessageRetentionDuration: durationpb.New(10 * time.Minute), // the shortest that Pub/Sub offers
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(24 * time.Hour)},
	})
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", name, err)
	}
	defer func() {
		cleanupCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		// A failure does not matter: the subscription expires.
		_ = q.client.SubscriptionAdminClient.DeleteSubscription(cleanupCtx, &pubsubpb.DeleteSubscriptionRequest{
			Subscription: q.subscription(name),
		})
	}()
	sub := q.client.Subscriber(name)
	// Without a time-out, a client that stops during an outage of Pub/Sub waits until the outage ends, and the process
	// cannot stop. No signal is worth that wait.
	sub.ReceiveSettings.ShutdownOptions = &pubsub.ShutdownOptions{Behavior: pubsub.ShutdownBehaviorWaitForProcessing, Timeout: 0}
	return sub.Receive(ctx, func(_ context.Context, m *pubsub.Message) {
		if ref := decode(m.Data); ref != (execution.Ref{}) {
			onSignal(ref)
		}
		m.Ack()
	})
}
