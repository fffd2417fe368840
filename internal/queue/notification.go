package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/support/bundler"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

const (
	// ackDeadline is how long Pub/Sub waits for an acknowledgement before it delivers a message again. It is the
	// shortest that Pub/Sub offers. A claim takes less time. If it takes more, another executor claims the execution.
	ackDeadline = 10 * time.Second
	// ackTimeout bounds a call to Acknowledge or Nack. Later, Pub/Sub has delivered the message again anyway.
	ackTimeout = ackDeadline / 2
	// ackDelay and maxAckBatch bound how many acknowledgements are sent in one call. The delay is harmless: the
	// execution is claimed already.
	ackDelay    = 10 * time.Millisecond
	maxAckBatch = 1000
	// maxNackDelay is the longest delay of a redelivery that Pub/Sub offers.
	maxNackDelay = 10 * time.Minute
)

// Notification is a received message: this execution may run, inspect its document. One consumer has it for at most
// ackDeadline and ends it with Acknowledge or Nack. Otherwise Pub/Sub delivers it again.
type Notification struct {
	Ref execution.Ref

	queue        *Queue
	subscription string // its short name
	message      *pubsubpb.ReceivedMessage
}

// Pull waits for notifications of a lane and returns at most limit of them. It may return none without an error. It
// returns an error at once: the caller decides when to pull again. A message that Pub/Sub was sending when ctx ended is
// delivered again after ackDeadline.
func (q *Queue) Pull(ctx context.Context, lane execution.Lane, limit int) ([]Notification, error) {
	received, err := q.pullFrom(ctx, laneTopic(lane), limit)
	if err != nil {
		return nil, err
	}
	notifications := make([]Notification, 0, len(received))
	for _, n := range received {
		if n.Ref == (execution.Ref{}) {
			err = errors.Join(err, q.publishDeadLetter(ctx, n))
			continue
		}
		notifications = append(notifications, n)
	}
	if len(notifications) > 0 {
		return notifications, nil // a dead letter that was not published is delivered again
	}
	return nil, err
}

func (q *Queue) pullFrom(ctx context.Context, subscription string, limit int) ([]Notification, error) {
	resp, err := q.client.SubscriptionAdminClient.Pull(ctx,
		&pubsubpb.PullRequest{Subscription: q.subscription(subscription), MaxMessages: int32(limit)},
		gax.WithRetry(nil))
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return nil, nil // Google's client ends a poll without messages after 60 s
	}
	if err != nil {
		return nil, err
	}
	received := make([]Notification, len(resp.ReceivedMessages))
	for i, m := range resp.ReceivedMessages {
		received[i] = Notification{Ref: decode(m.Message.Data), queue: q, subscription: subscription, message: m}
	}
	return received, nil
}

// Acknowledge ends the notification: the execution was inspected. It is sent within ackDelay, together with others. If
// it is lost, the notification is delivered again and the execution is inspected again.
func (n Notification) Acknowledge() {
	// Add fails only for an ID above 1 GB and for more than 1 GB of waiting IDs. Neither happens.
	_ = n.queue.ackBundlers[n.subscription].Add(n.message.AckId, len(n.message.AckId))
}

// newAckBundler returns a bundler that acknowledges messages of one subscription.
func (q *Queue) newAckBundler(subscription string) *bundler.Bundler {
	b := bundler.NewBundler("", func(ids any) {
		ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
		defer cancel()
		_ = q.client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{
			Subscription: q.subscription(subscription), AckIds: ids.([]string),
		})
	})
	b.DelayThreshold, b.BundleCountThreshold = ackDelay, maxAckBatch
	return b
}

// Nack returns the notification to Pub/Sub, which delivers it again: after the first delivery at once, later after a
// growing delay.
func (n Notification) Nack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	return n.queue.client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: n.queue.subscription(n.subscription), AckIds: []string{n.message.AckId},
		AckDeadlineSeconds: int32(nackDelay(int(n.message.DeliveryAttempt)).Seconds()),
	})
}

// nackDelay returns the delay after a delivery, which counts from 1: 0, 1 s, 2 s, 4 s … 10 min. maxDeliveries of them
// take 15 hours. No execution waits that long, because the janitor publishes new notifications.
func nackDelay(delivery int) time.Duration {
	if delivery < 2 {
		return 0
	}
	return min(time.Second<<min(delivery-2, 10), maxNackDelay)
}

// decode returns the execution that a message names. It returns an empty Ref if the message names none, or one whose
// name no execution can have: Firestore would refuse to look it up each time.
func decode(data []byte) execution.Ref {
	var ref execution.Ref
	if err := json.Unmarshal(data, &ref); err != nil || !tenant.ValidName(ref.Tenant) || !id.Valid(id.Execution, ref.ID) {
		return execution.Ref{}
	}
	return ref
}
