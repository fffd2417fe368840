package queue

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
)

// Ensure creates the topics and the shared subscriptions. It updates the settings of existing subscriptions. It may be
// repeated, also concurrently.
func (q *Queue) Ensure(ctx context.Context) error {
	if err := q.ensureTopic(ctx, signalTopic); err != nil {
		return err
	}
	if err := q.ensureTopicAndSubscription(ctx, deadLetterTopic, nil); err != nil {
		return err
	}
	deadLetterPolicy := &pubsubpb.DeadLetterPolicy{DeadLetterTopic: q.topic(deadLetterTopic), MaxDeliveryAttempts: maxDeliveries}
	for _, lane := range lanes {
		if err := q.ensureTopicAndSubscription(ctx, laneTopic(lane), deadLetterPolicy); err != nil {
			return err
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

// ensureTopicAndSubscription creates a topic and the subscription of the same name. The subscription has no retry
// policy: Nack sets the delay.
func (q *Queue) ensureTopicAndSubscription(ctx context.Context, name string, deadLetterPolicy *pubsubpb.DeadLetterPolicy) error {
	if err := q.ensureTopic(ctx, name); err != nil {
		return err
	}
	sub := &pubsubpb.Subscription{
		Name:               q.subscription(name),
		Topic:              q.topic(name),
		AckDeadlineSeconds: int32(ackDeadline.Seconds()),
		DeadLetterPolicy:   deadLetterPolicy,
		ExpirationPolicy:   &pubsubpb.ExpirationPolicy{}, // never
	}
	_, err := q.client.SubscriptionAdminClient.CreateSubscription(ctx, sub)
	if status.Code(err) == codes.AlreadyExists {
		_, err = q.client.SubscriptionAdminClient.UpdateSubscription(ctx, &pubsubpb.UpdateSubscriptionRequest{
			Subscription: sub,
			UpdateMask:   &fieldmaskpb.FieldMask{Paths: []string{"ack_deadline_seconds", "dead_letter_policy", "expiration_policy", "retry_policy"}},
		})
	}
	if err != nil {
		return fmt.Errorf("create subscription %s: %w", name, err)
	}
	return nil
}
