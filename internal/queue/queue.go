// Package queue publishes and receives messages about executions over Pub/Sub: notifications for the executors.
//
// In: changes of executions. Out: the names of executions whose documents to read. A message never carries the state of
// an execution, so a message that is lost, duplicated or late costs time and nothing else.
package queue

import (
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/api/support/bundler"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// lanes lists the lanes. Each has a topic.
var lanes = []execution.Lane{execution.LaneInteractive, execution.LaneBatch}

func laneTopic(l execution.Lane) string { return "executions-" + string(l) }

// Subscription has the notifications of one runtime in one lane. All executors with the runtime share it, and no other
// executor pulls from it. So whichever of them has a free slot first gets the next notification.
type Subscription struct {
	Lane    execution.Lane
	Runtime string
}

// Name returns the name in Pub/Sub, such as executions-batch-claude.
func (s Subscription) Name() string { return laneTopic(s.Lane) + "-" + s.Runtime }

// runtimeAttribute is the attribute of a message by which Pub/Sub finds its subscription. A message without it reaches
// nobody.
const runtimeAttribute = "runtime"

// filter selects the messages of the subscription.
func (s Subscription) filter() string {
	return fmt.Sprintf("attributes.%s = %q", runtimeAttribute, s.Runtime)
}

// Queue is safe for concurrent use. Close it after the last Publish.
type Queue struct {
	client      *pubsub.Client
	lanes       map[execution.Lane]*pubsub.Publisher
	deadLetters *pubsub.Publisher
	closeClient func() error // nil: the client belongs to the caller of New
	unmanaged   bool
	resources   resourceStates

	mu          sync.Mutex
	ackBundlers map[string]*bundler.Bundler // by the subscription's name
}

// Option changes a queue.
type Option func(*Queue)

// Unmanaged makes a queue that neither creates nor reads topics and subscriptions, so that a process needs no more
// than the roles pubsub.publisher and pubsub.subscriber. They exist already.
func Unmanaged(q *Queue) { q.unmanaged = true }

// New returns a queue over a client, which the caller closes.
func New(client *pubsub.Client, options ...Option) *Queue {
	q := &Queue{
		client: client, lanes: map[execution.Lane]*pubsub.Publisher{},
		deadLetters: newPublisher(client, deadLetterTopic), ackBundlers: map[string]*bundler.Bundler{},
	}
	for _, option := range options {
		option(q)
	}
	for _, lane := range lanes {
		q.lanes[lane] = newPublisher(client, laneTopic(lane))
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
	q.deadLetters.Stop()
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, b := range q.ackBundlers {
		b.Flush()
	}
	if q.closeClient != nil {
		_ = q.closeClient() // gRPC only reports that the connection is closed already
	}
}

func (q *Queue) topic(name string) string {
	return fmt.Sprintf("projects/%s/topics/%s", q.client.Project(), name)
}

func (q *Queue) subscription(name string) string {
	return fmt.Sprintf("projects/%s/subscriptions/%s", q.client.Project(), name)
}
