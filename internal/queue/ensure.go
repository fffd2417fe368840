package queue

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Ensure creates the topics, and the subscriptions of the dead letters and of the runtimes, that do not exist. It
// changes none that does: its settings are the operator's. It may be repeated, also concurrently. It does nothing if
// the queue is Unmanaged.
func (q *Queue) Ensure(ctx context.Context, runtimes ...string) error {
	if q.unmanaged {
		return nil
	}
	for _, topic := range []string{deadLetterTopic, laneTopic(execution.LaneInteractive), laneTopic(execution.LaneBatch)} {
		if err := q.ensureTopic(ctx, topic); err != nil {
			return err
		}
	}
	if err := q.ensureSubscription(ctx, &pubsubpb.Subscription{Name: deadLetterTopic, Topic: deadLetterTopic}); err != nil {
		return err
	}
	for _, lane := range lanes {
		for _, runtime := range runtimes {
			s := Subscription{Lane: lane, Runtime: runtime}
			err := q.ensureSubscription(ctx, &pubsubpb.Subscription{
				Name: s.Name(), Topic: laneTopic(lane), Filter: s.filter(),
				DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: q.topic(deadLetterTopic), MaxDeliveryAttempts: maxDeliveries},
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (q *Queue) ensureTopic(ctx context.Context, name string) error {
	_, err := q.client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: q.topic(name)})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	return nil
}

// ensureSubscription creates a subscription, of which name and topic are the short ones. It has no retry policy: Nack
// sets the delay.
func (q *Queue) ensureSubscription(ctx context.Context, s *pubsubpb.Subscription) error {
	name := s.Name
	s.Name, s.Topic = q.subscription(s.Name), q.topic(s.Topic)
	s.AckDeadlineSeconds = int32(ackDeadline.Seconds())
	s.ExpirationPolicy = &pubsubpb.ExpirationPolicy{} // never
	_, err := q.client.SubscriptionAdminClient.CreateSubscription(ctx, s)
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create subscription %s: %w", name, err)
	}
	return nil
}
