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

// Names of the topics. The subscription that the executors share has the name
// of its topic.
const (
	interactiveTopic = "executions-interactive"
	signalsTopic     = "executions-signals"
)

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
	client      *pubsub.Client
	interactive *pubsub.Publisher
	signals     *pubsub.Publisher
}

// New returns a queue over the client, which stays the caller's to close.
func New(client *pubsub.Client) *Queue {
	q := &Queue{client: client, interactive: client.Publisher(interactiveTopic), signals: client.Publisher(signalsTopic)}
	// A person waits for these: a message goes out at once rather than in a fuller batch.
	for _, p := range []*pubsub.Publisher{q.interactive, q.signals} {
		p.PublishSettings.DelayThreshold = time.Millisecond
		p.PublishSettings.Timeout = tellTimeout // nobody waits longer, and Close must not
	}
	return q
}

// Close sends what is still buffered.
func (q *Queue) Close() {
	q.interactive.Stop()
	q.signals.Stop()
}

// Ensure makes the topics and the shared subscription where they do not exist.
func (q *Queue) Ensure(ctx context.Context) error {
	for _, topic := range []string{interactiveTopic, signalsTopic} {
		_, err := q.client.TopicAdminClient.CreateTopic(ctx, &pubsubpb.Topic{Name: q.topic(topic)})
		if err != nil && status.Code(err) != codes.AlreadyExists {
			return fmt.Errorf("create topic %s: %w", topic, err)
		}
	}
	_, err := q.client.SubscriptionAdminClient.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name:               q.subscription(interactiveTopic),
		Topic:              q.topic(interactiveTopic),
		AckDeadlineSeconds: int32(ackDeadline.Seconds()),
		RetryPolicy: &pubsubpb.RetryPolicy{
			MinimumBackoff: durationpb.New(time.Second),
			MaximumBackoff: durationpb.New(time.Minute),
		},
		ExpirationPolicy: &pubsubpb.ExpirationPolicy{}, // never
	})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("create subscription %s: %w", interactiveTopic, err)
	}
	return nil
}

// Check asks whether the topic of the executions is there to be published to.
func (q *Queue) Check(ctx context.Context) error {
	_, err := q.client.TopicAdminClient.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: q.topic(interactiveTopic)})
	return err
}

func (q *Queue) topic(name string) string {
	return fmt.Sprintf("projects/%s/topics/%s", q.client.Project(), name)
}

func (q *Queue) subscription(name string) string {
	return fmt.Sprintf("projects/%s/subscriptions/%s", q.client.Project(), name)
}
