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
	// foundAfter is the time after which a pull that waits for messages has certainly found its subscription.
	foundAfter = 2 * time.Second
	// maxNackDelay is the longest delay of a redelivery that Pub/Sub offers.
	maxNackDelay = 10 * time.Minute
)

// Notification is a received message: this execution may run, inspect its document. One consumer has it for at most
// ackDeadline and ends it with Acknowledge, Nack or Return. Otherwise Pub/Sub delivers it again.
type Notification struct {
	Ref execution.Ref
	// Dispatcher is the process that published it and wants to know of the end; empty: none.
	Dispatcher string
	// Holder is the process that has an agent waiting for this turn of a conversation; empty: none.
	Holder string

	queue        *Queue // nil: it did not come from Pub/Sub, and does not go back there
	subscription string // its short name
	message      *pubsubpb.ReceivedMessage
}

// Pull waits for notifications of a subscription and returns at most limit of them. It may return none without an
// error. It returns an error at once: the caller decides when to pull again. A message that Pub/Sub was sending when
// ctx ended is delivered again after ackDeadline.
func (q *Queue) Pull(ctx context.Context, from Subscription, limit int) ([]Notification, error) {
	received, err := q.pullFrom(ctx, from.Name(), limit)
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
	found := time.AfterFunc(foundAfter, func() { _ = q.resources.record(subscriptionResource(subscription), nil) })
	defer found.Stop()
	resp, err := q.client.SubscriptionAdminClient.Pull(ctx,
		&pubsubpb.PullRequest{Subscription: q.subscription(subscription), MaxMessages: int32(limit)},
		gax.WithRetry(nil))
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return nil, nil // Google's client ends a poll without messages after 60 s
	}
	if err = q.resources.record(subscriptionResource(subscription), err); err != nil {
		return nil, err
	}
	received := make([]Notification, len(resp.ReceivedMessages))
	for i, m := range resp.ReceivedMessages {
		named := decode(m.Message.Data)
		received[i] = Notification{Ref: named.Ref, Dispatcher: named.Dispatcher, Holder: named.Holder, queue: q, subscription: subscription, message: m}
	}
	return received, nil
}

// Acknowledge ends the notification: the execution was inspected. It is sent within ackDelay, together with others. If
// it is lost, the notification is delivered again and the execution is inspected again.
func (n Notification) Acknowledge() {
	if n.queue == nil {
		return
	}
	// Add fails only for an ID above 1 GB and for more than 1 GB of waiting IDs. Neither happens.
	_ = n.queue.ackBundler(n.subscription).Add(n.message.AckId, len(n.message.AckId))
}

// ackBundler returns the bundler that acknowledges messages of one subscription.
func (q *Queue) ackBundler(subscription string) *bundler.Bundler {
	q.mu.Lock()
	defer q.mu.Unlock()
	if b := q.ackBundlers[subscription]; b != nil {
		return b
	}
	b := bundler.NewBundler("", func(ids any) {
		ctx, cancel := context.WithTimeout(context.Background(), ackTimeout)
		defer cancel()
		_ = q.client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{
			Subscription: q.subscription(subscription), AckIds: ids.([]string),
		})
	})
	b.DelayThreshold, b.BundleCountThreshold = ackDelay, maxAckBatch
	q.ackBundlers[subscription] = b
	return b
}

// Nack returns a notification that could not be processed to Pub/Sub, which delivers it again: after the first delivery
// at once, later after a growing delay.
func (n Notification) Nack(ctx context.Context) error {
	return n.deliverAgain(ctx, nackDelay(int(n.message.DeliveryAttempt)))
}

// Return returns a notification to Pub/Sub that nobody has tried to process. It is delivered again at once, however
// often it was returned.
func (n Notification) Return(ctx context.Context) error { return n.deliverAgain(ctx, 0) }

func (n Notification) deliverAgain(ctx context.Context, delay time.Duration) error {
	if n.queue == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	return n.queue.client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: n.queue.subscription(n.subscription), AckIds: []string{n.message.AckId},
		AckDeadlineSeconds: int32(delay.Seconds()),
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

// message is the data of a message in JSON.
type message struct {
	execution.Ref
	Dispatcher string `json:"dispatcher,omitempty"`
	Holder     string `json:"holder,omitempty"`
}

// decode returns the execution that a message names. It returns an empty Ref if the message names none, or one whose
// name no execution can have: Firestore would refuse to look it up each time.
func decode(data []byte) message {
	var m message
	if err := json.Unmarshal(data, &m); err != nil || !tenant.ValidName(m.Tenant) || !id.Valid(id.Execution, m.ID) {
		return message{}
	}
	return m
}
