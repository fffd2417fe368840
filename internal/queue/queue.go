// Package queue is the doorbell: it announces executions to executors and
// passes signals between processes over Pub/Sub. No message carries a fact;
// each only names a document to look at, so a message that is lost, doubled or
// late costs time and nothing else.
package queue

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/airlock-run/airlock/internal/execution"
)

// signalsTopic is heard by every process, through a subscription of its own.
const signalsTopic = "executions-signals"

// lanes are the queues of executions. Each is a topic, and a subscription of
// the same name that the executors share.
var lanes = []execution.Lane{execution.Interactive, execution.Batch}

func laneTopic(l execution.Lane) string { return "executions-" + string(l) }

// ackDeadline is how long Pub/Sub waits before it delivers again what a dead
// executor held. The client extends it for as long as a job runs.
const ackDeadline = 30 * time.Second

// maxHeld is how long the client keeps extending: the longest job, with room
// for what comes before and after it.
const maxHeld = execution.MaxTimeout + 10*time.Minute

// tellTimeout bounds how long a change waits for Pub/Sub. The caller of the
// API waits meanwhile, for something that it does not need.
const tellTimeout = 3 * time.Second

// Queue is safe for concurrent use. Close it after the last Tell.
type Queue struct {
	client  *pubsub.Client
	lanes   map[execution.Lane]*pubsub.Publisher
	signals *pubsub.Publisher
}

// New returns a queue over the client, which stays the caller's to close.
func New(client *pubsub.Client) *Queue {
	q := &Queue{client: client, lanes: map[execution.Lane]*pubsub.Publisher{}, signals: publisher(client, signalsTopic)}
	for _, lane := range lanes {
		q.lanes[lane] = publisher(client, laneTopic(lane))
	}
	return q
}

func publisher(client *pubsub.Client, topic string) *pubsub.Publisher {
	p := client.Publisher(topic)
	// A person may wait: a message goes out at once rather than in a fuller batch.
	p.PublishSettings.DelayThreshold = time.Millisecond
	p.PublishSettings.Timeout = tellTimeout // nobody waits longer, and Close must not
	return p
}

// Close sends what is still buffered.
func (q *Queue) Close() {
	for _, p := range q.lanes {
		p.Stop()
	}
	q.signals.Stop()
}

// Ensure makes the topics and the shared subscriptions where they do not exist.
func (q *Queue) Ensure(ctx context.Context) error {
	if err := q.ensureTopic(ctx, signalsTopic); err != nil {
		return err
	}
	for _, lane := range lanes {
		if err := q.ensureTopic(ctx, laneTopic(lane)); err != nil {
			return err
		}
		if err := q.ensureSubscription(ctx, laneTopic(lane)); err != nil {
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

func (q *Queue) ensureSubscription(ctx context.Context, name string) error {
	_, err := q.client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name:               q.subscription(name),
		Topic:              q.topic(name),
		AckDeadlineSeconds: int32(ackDeadline.Seconds()),
		RetryPolicy: &pubsubpb.RetryPolicy{
			MinimumBackoff: durationpb.New(time.Second),
			MaximumBackoff: durationpb.New(time.Minute),
		},
		ExpirationPolicy: &pubsubpb.ExpirationPolicy{}, // never
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create subscription %s: %w", name, err)
	}
	return nil
}

// Check asks whether the topics of the executions are there to be published to.
func (q *Queue) Check(ctx context.Context) error {
	for _, lane := range lanes {
		if _, err := q.client.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: q.topic(laneTopic(lane))}); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) topic(name string) string {
	return fmt.Sprintf("projects/%s/topics/%s", q.client.Project(), name)
}

func (q *Queue) subscription(name string) string {
	return fmt.Sprintf("projects/%s/subscriptions/%s", q.client.Project(), name)
}
