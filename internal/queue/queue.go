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
	"google.golang.org/api/support/bundler"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

const (
	// signalsTopic is heard by every process, through a subscription of its own.
	signalTopic = "executions-signals"
	// deadTopic has what was announced and could not be looked at. Its
	// subscription has the same name.
	deadLetterTopic = "executions-dead-letter"
)

// lanes are the queues of executions. Each is a topic, and a subscription of
// the same name that the executors share.
var lanes = []execution.Lane{execution.LaneInteractive, execution.LaneBatch}

func laneTopic(l execution.Lane) string { return "executions-" + string(l) }

// ackDeadline is how long a message that was pulled stays away from others
// unless it is settled, and the shortest that Pub/Sub offers. A claim takes
// less; what it takes longer for is claimed by somebody else.
const ackDeadline = 10 * time.Second

// maxDeliveries is after how many failed deliveries a message becomes a dead
// letter, and the most that Pub/Sub offers. With the delays of giveBackDelay
// that is 15 hours of an outage.
const maxDeliveries = 100

// tellTimeout bounds how long a change waits for Pub/Sub. The caller of the
// API waits meanwhile, for something that it does not need.
const publishTimeout = 3 * time.Second

// Queue is safe for concurrent use. Close it after the last Tell.
type Queue struct {
	client      *pubsub.Client
	lanes       map[execution.Lane]*pubsub.Publisher
	signals     *pubsub.Publisher
	deadLetters *pubsub.Publisher
	ackBundlers map[string]*bundler.Bundler // by subscription
	closeClient func() error                // of a client that Dial made; nil: the client is the caller's
}

// New returns a queue over the client, which stays the caller's to close.
func New(client *pubsub.Client) *Queue {
	q := &Queue{
		client: client, lanes: map[execution.Lane]*pubsub.Publisher{},
		signals: newPublisher(client, signalTopic), deadLetters: newPublisher(client, deadLetterTopic),
	}
	q.ackBundlers = map[string]*bundler.Bundler{deadLetterTopic: q.newAckBundler(deadLetterTopic)}
	for _, lane := range lanes {
		q.lanes[lane] = newPublisher(client, laneTopic(lane))
		q.ackBundlers[laneTopic(lane)] = q.newAckBundler(laneTopic(lane))
	}
	return q
}

func newPublisher(client *pubsub.Client, topic string) *pubsub.Publisher {
	p := client.Publisher(topic)
	// A person may wait: a message goes out at once rather than in a fuller batch.
	p.PublishSettings.DelayThreshold = time.Millisecond
	p.PublishSettings.Timeout = publishTimeout // nobody waits longer, and Close must not
	return p
}

// Close sends what is still buffered, then closes the connection if Dial made it.
func (q *Queue) Close() {
	for _, p := range q.lanes {
		p.Stop()
	}
	q.signals.Stop()
	q.deadLetters.Stop()
	for _, b := range q.ackBundlers {
		b.Flush()
	}
	if q.closeClient != nil {
		_ = q.closeClient() // gRPC only reports that the connection is closed already
	}
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
