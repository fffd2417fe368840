// Package queue publishes and receives messages about executions over Pub/Sub: notifications for the executors, and
// signals between processes.
//
// In: changes of executions. Out: the names of executions whose documents to read. A message never carries the state of
// an execution, so a message that is lost, duplicated or late costs time and nothing else.
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

// lanes lists the lanes. Each has a topic, and a subscription of the same name that all executors share.
var lanes = []execution.Lane{execution.LaneInteractive, execution.LaneBatch}

func laneTopic(l execution.Lane) string { return "executions-" + string(l) }

// Queue is safe for concurrent use. Close it after the last Publish.
type Queue struct {
	client      *pubsub.Client
	lanes       map[execution.Lane]*pubsub.Publisher
	signals     *pubsub.Publisher
	deadLetters *pubsub.Publisher
	ackBundlers map[string]*bundler.Bundler // by subscription
	closeClient func() error                // nil: the client belongs to the caller of New
}

// New returns a queue over a client, which the caller closes.
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
	// A person may wait: a message is sent at once, without waiting for a larger batch.
	p.PublishSettings.DelayThreshold = time.Millisecond
	p.PublishSettings.Timeout = publishTimeout // so that Close is bounded as well
	return p
}

// Close sends the buffered messages and acknowledgements, then closes the connection if Dial opened it.
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

// Check returns an error if the topic of a lane does not exist or is unreachable.
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
