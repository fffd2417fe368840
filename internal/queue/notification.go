package queue

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"cloud.google.com/go/pubsub/v2"
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
	// settleTimeout bounds an acknowledgement and a giving back: later, Pub/Sub
	// has delivered the message again anyhow.
	ackTimeout = ackDeadline / 2
	// ackDelay and ackMost bound how many acknowledgements travel together. They
	// are in nobody's way: the claim has already said whose the execution is.
	ackDelay    = 10 * time.Millisecond
	maxAckBatch = 1000
	// maxDelay is the longest that Pub/Sub lets a message be put off.
	maxNackDelay = 10 * time.Minute
)

// Announcement is a message that says: look at this execution. It is one
// consumer's, for ackDeadline at most, and settled by Acknowledge or GiveBack;
// unsettled it comes again.
type Notification struct {
	Ref execution.Ref

	queue        *Queue
	subscription string // its short name
	message      *pubsubpb.ReceivedMessage
}

// Pull waits for announcements of a lane, and returns at most so many of them
// once there are any; at times none. It gives its error at once: when to try
// again is the caller's. What Pub/Sub was just sending when ctx ended comes
// again after ackDeadline.
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
		return notifications, nil // what could not be buried comes again
	}
	return nil, err
}

func (q *Queue) pullFrom(ctx context.Context, subscription string, limit int) ([]Notification, error) {
	resp, err := q.client.SubscriptionAdminClient.Pull(ctx,
		&pubsubpb.PullRequest{Subscription: q.subscription(subscription), MaxMessages: int32(limit)},
		gax.WithRetry(nil))
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return nil, nil // the client's own end of a poll that found nothing, 60 s
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

// bury passes on what names no execution to where dead letters are read.
func (q *Queue) publishDeadLetter(ctx context.Context, n Notification) error {
	msg := &pubsub.Message{Data: n.message.Message.Data, Attributes: n.message.Message.Attributes}
	if _, err := q.deadLetters.Publish(ctx, msg).Get(ctx); err != nil {
		return errors.Join(err, n.Nack(ctx))
	}
	n.Acknowledge()
	return nil
}

// Acknowledge ends the announcement: the execution was looked at. It goes out
// with others, within ackDelay. Where it is lost, the announcement comes again
// and is looked at again.
func (n Notification) Acknowledge() {
	// Neither of Add's errors can be: an ID is small, and 1 GB of them is not kept.
	_ = n.queue.ackBundlers[n.subscription].Add(n.message.AckId, len(n.message.AckId))
}

// acknowledger collects what of a subscription is to be acknowledged.
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

// GiveBack leaves the announcement to whoever pulls next, the first time at
// once and from then on after a growing delay.
func (n Notification) Nack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ackTimeout)
	defer cancel()
	return n.queue.client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: n.queue.subscription(n.subscription), AckIds: []string{n.message.AckId},
		AckDeadlineSeconds: int32(nackDelay(int(n.message.DeliveryAttempt)).Seconds()),
	})
}

// giveBackDelay is 0, 1 s, 2 s, 4 s ... 10 min for the deliveries from the first
// on: maxDeliveries of them take 15 hours. Nobody has to wait that long, for
// the janitor announces an execution anew.
func nackDelay(delivery int) time.Duration {
	if delivery < 2 {
		return 0
	}
	return min(time.Second<<min(delivery-2, 10), maxNackDelay)
}

// decode returns the execution that a message names; none where it names none,
// or one that Firestore could only refuse to look for, each time it is asked.
func decode(data []byte) execution.Ref {
	var ref execution.Ref
	if err := json.Unmarshal(data, &ref); err != nil || !tenant.ValidName(ref.Tenant) || !id.Valid(id.Execution, ref.ID) {
		return execution.Ref{}
	}
	return ref
}
