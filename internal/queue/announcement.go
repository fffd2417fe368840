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
	settleTimeout = ackDeadline / 2
	// ackDelay and ackMost bound how many acknowledgements travel together. They
	// are in nobody's way: the claim has already said whose the execution is.
	ackDelay = 10 * time.Millisecond
	ackMost  = 1000
	// maxDelay is the longest that Pub/Sub lets a message be put off.
	maxDelay = 10 * time.Minute
)

// Announcement is a message that says: look at this execution. It is one
// consumer's, for ackDeadline at most, and settled by Acknowledge or GiveBack;
// unsettled it comes again.
type Announcement struct {
	Ref execution.Ref

	queue        *Queue
	subscription string // its short name
	message      *pubsubpb.ReceivedMessage
}

// Pull waits for announcements of a lane, and returns at most so many of them
// once there are any; at times none. It gives its error at once: when to try
// again is the caller's. What Pub/Sub was just sending when ctx ended comes
// again after ackDeadline.
func (q *Queue) Pull(ctx context.Context, lane execution.Lane, most int) ([]Announcement, error) {
	pulled, err := q.pull(ctx, laneTopic(lane), most)
	if err != nil {
		return nil, err
	}
	announced := make([]Announcement, 0, len(pulled))
	for _, a := range pulled {
		if a.Ref == (execution.Ref{}) {
			err = errors.Join(err, q.bury(ctx, a))
			continue
		}
		announced = append(announced, a)
	}
	if len(announced) > 0 {
		return announced, nil // what could not be buried comes again
	}
	return nil, err
}

func (q *Queue) pull(ctx context.Context, subscription string, most int) ([]Announcement, error) {
	answer, err := q.client.SubscriptionAdminClient.Pull(ctx,
		&pubsubpb.PullRequest{Subscription: q.subscription(subscription), MaxMessages: int32(most)},
		gax.WithRetry(nil))
	if status.Code(err) == codes.DeadlineExceeded && ctx.Err() == nil {
		return nil, nil // the client's own end of a poll that found nothing, 60 s
	}
	if err != nil {
		return nil, err
	}
	pulled := make([]Announcement, len(answer.ReceivedMessages))
	for i, m := range answer.ReceivedMessages {
		pulled[i] = Announcement{Ref: decode(m.Message.Data), queue: q, subscription: subscription, message: m}
	}
	return pulled, nil
}

// bury passes on what names no execution to where dead letters are read.
func (q *Queue) bury(ctx context.Context, a Announcement) error {
	letter := &pubsub.Message{Data: a.message.Message.Data, Attributes: a.message.Message.Attributes}
	if _, err := q.dead.Publish(ctx, letter).Get(ctx); err != nil {
		return errors.Join(err, a.GiveBack(ctx))
	}
	a.Acknowledge()
	return nil
}

// Acknowledge ends the announcement: the execution was looked at. It goes out
// with others, within ackDelay. Where it is lost, the announcement comes again
// and is looked at again.
func (a Announcement) Acknowledge() {
	// Neither of Add's errors can be: an ID is small, and 1 GB of them is not kept.
	_ = a.queue.acks[a.subscription].Add(a.message.AckId, len(a.message.AckId))
}

// acknowledger collects what of a subscription is to be acknowledged.
func (q *Queue) acknowledger(subscription string) *bundler.Bundler {
	b := bundler.NewBundler("", func(ids any) {
		ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
		defer cancel()
		_ = q.client.SubscriptionAdminClient.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{
			Subscription: q.subscription(subscription), AckIds: ids.([]string),
		})
	})
	b.DelayThreshold, b.BundleCountThreshold = ackDelay, ackMost
	return b
}

// GiveBack leaves the announcement to whoever pulls next, the first time at
// once and from then on after a growing delay.
func (a Announcement) GiveBack(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	return a.queue.client.SubscriptionAdminClient.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{
		Subscription: a.queue.subscription(a.subscription), AckIds: []string{a.message.AckId},
		AckDeadlineSeconds: int32(giveBackDelay(int(a.message.DeliveryAttempt)).Seconds()),
	})
}

// giveBackDelay is 0, 1 s, 2 s, 4 s ... 10 min for the deliveries from the first
// on: maxDeliveries of them take 15 hours. Nobody has to wait that long, for
// the janitor announces an execution anew.
func giveBackDelay(delivery int) time.Duration {
	if delivery < 2 {
		return 0
	}
	return min(time.Second<<min(delivery-2, 10), maxDelay)
}

// decode returns the execution that a message names; none where it names none,
// or one that Firestore could only refuse to look for, each time it is asked.
func decode(data []byte) execution.Ref {
	var ref execution.Ref
	if err := json.Unmarshal(data, &ref); err != nil || !tenant.ValidTenant(ref.Owner) || !id.Valid(id.Execution, ref.ID) {
		return execution.Ref{}
	}
	return ref
}
