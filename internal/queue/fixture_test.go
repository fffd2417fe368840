package queue

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

func TestMain(m *testing.M) {
	otel.SetTextMapPropagator(propagation.TraceContext{}) // as the programs do
	emulatortest.Main(m)
}

const (
	// waitTimeout bounds the wait for something that must happen.
	waitTimeout = 20 * time.Second
	// pollInterval is for states that no event reports.
	pollInterval = 5 * time.Millisecond
)

var sampleRef = execution.Ref{Tenant: "ada", ID: executionID(1)}

// executionID returns the ID of the n-th execution of the tests.
func executionID(n int) string { return id.FromHash(id.Execution, sha256.Sum256([]byte{byte(n)})) }

// newChange returns a change of the n-th execution, in the interactive lane.
func newChange(n int, status execution.Status, notify ...execution.Ref) execution.Change {
	e := execution.Execution{Tenant: "ada", ID: executionID(n), Lane: execution.LaneInteractive, Status: status}
	ch := execution.Change{Execution: e}
	for _, ref := range notify {
		ch.Notify = append(ch.Notify, execution.Runnable{Ref: ref, Lane: execution.LaneInteractive, Runtime: runtime})
	}
	return ch
}

// runtime is that of all executions of a test that does not say otherwise.
const runtime = "offline"

var (
	interactive = Subscription{Lane: execution.LaneInteractive, Runtime: runtime}
	batch       = Subscription{Lane: execution.LaneBatch, Runtime: runtime}
)

type fixture struct {
	*Queue
	pubsub   *emulatortest.PubSub
	recorder *ackRecorder
}

// ackRecorder records the acknowledgements of a fixture's client.
type ackRecorder struct {
	acked atomic.Int32 // acknowledged messages

	mu         sync.Mutex
	nackDelays []time.Duration // delays of the Nacks
	noDelay    bool            // replaces them by 0 on the way to Pub/Sub
}

func (r *ackRecorder) intercept(
	ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if modify, ok := req.(*pubsubpb.ModifyAckDeadlineRequest); ok {
		r.mu.Lock()
		r.nackDelays = append(r.nackDelays, time.Duration(modify.AckDeadlineSeconds)*time.Second)
		if r.noDelay {
			modify.AckDeadlineSeconds = 0
		}
		r.mu.Unlock()
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if ack, ok := req.(*pubsubpb.AcknowledgeRequest); ok && err == nil {
		r.acked.Add(int32(len(ack.AckIds)))
	}
	return err
}

// newFixture returns a queue with its topics, over an emulator of its own.
func newFixture(t *testing.T) fixture {
	t.Helper()
	r := new(ackRecorder)
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{}, grpc.WithChainUnaryInterceptor(r.intercept))
	q := New(p.Client)
	require.NoError(t, q.Ensure(t.Context(), runtime))
	t.Cleanup(q.Close)
	return fixture{Queue: q, pubsub: p, recorder: r}
}

// receiveAll receives the notifications of the interactive lane until the task is stopped.
func (f fixture) receiveAll(t *testing.T) (<-chan execution.Ref, *backgroundTask) {
	t.Helper()
	got := make(chan execution.Ref, 100)
	return got, runInBackground(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			notifications, err := f.Pull(ctx, interactive, 4)
			if err != nil && ctx.Err() == nil {
				return err
			}
			for _, n := range notifications {
				got <- n.Ref
				n.Acknowledge()
			}
		}
		return nil
	})
}

// pullOne waits for one notification of the interactive lane.
func (f fixture) pullOne(t *testing.T) Notification {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	notifications, err := f.Pull(ctx, interactive, 1)
	require.NoError(t, err)
	require.Len(t, notifications, 1)
	return notifications[0]
}

func (f fixture) publishRefs(t *testing.T, refs ...execution.Ref) {
	t.Helper()
	require.NoError(t, f.Publish(t.Context(), newChange(0, execution.Queued, refs...)))
}

// publishRaw sends any data, also data that Publish never sends.
func (f fixture) publishRaw(t *testing.T, topic, data string) {
	t.Helper()
	p := f.pubsub.Client.Publisher(topic)
	defer p.Stop()
	_, err := p.Publish(t.Context(), &pubsub.Message{Data: []byte(data), Attributes: map[string]string{runtimeAttribute: runtime}}).Get(t.Context())
	require.NoError(t, err)
}

// listSubscriptions returns the names of all subscriptions.
func (f fixture) listSubscriptions(t *testing.T) (names []string) {
	t.Helper()
	request := &pubsubpb.ListSubscriptionsRequest{Project: "projects/" + emulatortest.Project}
	all := f.pubsub.Client.SubscriptionAdminClient.ListSubscriptions(t.Context(), request)
	for {
		s, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		require.NoError(t, err)
		names = append(names, s.Name)
	}
}

// backgroundTask is a goroutine that runs until it is stopped.
type backgroundTask struct {
	t        *testing.T
	stopOnce sync.Once
	cancel   context.CancelFunc
	done     chan error
}

// runInBackground runs f until stop is called or the test ends.
func runInBackground(t *testing.T, f func(context.Context) error) *backgroundTask {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	task := &backgroundTask{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { task.done <- f(ctx) }()
	t.Cleanup(task.stop)
	return task
}

// stop ends the task and requires that it returns no error.
func (b *backgroundTask) stop() {
	b.t.Helper()
	b.stopOnce.Do(func() {
		b.cancel()
		require.NoError(b.t, await(b.t, b.done))
	})
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(waitTimeout):
		require.FailNow(t, "nothing was received in time")
		panic("not reached")
	}
}

func (f fixture) deleteLaneSubscription(ctx context.Context) error {
	request := &pubsubpb.DeleteSubscriptionRequest{Subscription: f.subscription(interactive.Name())}
	return f.pubsub.Client.SubscriptionAdminClient.DeleteSubscription(ctx, request)
}

func (f fixture) deleteTopic(ctx context.Context, topic string) error {
	return f.pubsub.Client.TopicAdminClient.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: topic})
}
