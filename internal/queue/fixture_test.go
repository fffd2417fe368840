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
	// patience is how long a test waits for what must come.
	waitTimeout = 20 * time.Second
	// tick is how often it looks for what announces itself to nobody.
	pollInterval = 5 * time.Millisecond
)

var (
	sampleRef     = execution.Ref{Tenant: "ada", ID: executionID(1)}
	sampleMessage = `{"tenant":"ada","executionId":"` + sampleRef.ID + `"}` // as a message says it
)

// exe is an execution's ID, the same for the same number.
func executionID(n int) string { return id.FromHash(id.Execution, sha256.Sum256([]byte{byte(n)})) }

type fixture struct {
	*Queue
	pubsub   *emulatortest.PubSub
	recorder *ackRecorder
}

// settled is what the clients of a fixture have asked for.
type ackRecorder struct {
	acked atomic.Int32 // messages, so far

	mu         sync.Mutex
	nackDelays []time.Duration // of what was given back
	noDelay    bool            // makes them 0
}

func (s *ackRecorder) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if modify, ok := req.(*pubsubpb.ModifyAckDeadlineRequest); ok {
		s.mu.Lock()
		s.nackDelays = append(s.nackDelays, time.Duration(modify.AckDeadlineSeconds)*time.Second)
		if s.noDelay {
			modify.AckDeadlineSeconds = 0
		}
		s.mu.Unlock()
	}
	err := invoke(ctx, method, req, reply, cc, opts...)
	if ack, ok := req.(*pubsubpb.AcknowledgeRequest); ok && err == nil {
		s.acked.Add(int32(len(ack.AckIds)))
	}
	return err
}

// start makes a queue with its topics.
func newFixture(t *testing.T) fixture {
	t.Helper()
	s := new(ackRecorder)
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{}, grpc.WithChainUnaryInterceptor(s.intercept))
	q := New(p.Client)
	require.NoError(t, q.Ensure(t.Context()))
	t.Cleanup(q.Close)
	return fixture{Queue: q, pubsub: p, recorder: s}
}

// receive takes what is announced until it is stopped.
func (f fixture) receiveAll(t *testing.T) (<-chan execution.Ref, *backgroundTask) {
	t.Helper()
	got := make(chan execution.Ref, 100)
	return got, runInBackground(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			notifications, err := f.Pull(ctx, execution.LaneInteractive, 4)
			if err != nil && ctx.Err() == nil {
				return err
			}
			for _, a := range notifications {
				got <- a.Ref
				a.Acknowledge()
			}
		}
		return nil
	})
}

// pull awaits one announcement of the interactive lane.
func (f fixture) pullOne(t *testing.T) Notification {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), waitTimeout)
	defer cancel()
	notifications, err := f.Pull(ctx, execution.LaneInteractive, 1)
	require.NoError(t, err)
	require.Len(t, notifications, 1)
	return notifications[0]
}

func (f fixture) publishRefs(t *testing.T, refs ...execution.Ref) {
	t.Helper()
	require.NoError(t, f.Publish(t.Context(), execution.Change{Execution: execution.Execution{Tenant: "ada", ID: executionID(0), Lane: execution.LaneInteractive}, Notify: refs}))
}

// publish sends what no Tell would.
func (f fixture) publishRaw(t *testing.T, topic, data string) {
	t.Helper()
	p := f.pubsub.Client.Publisher(topic)
	defer p.Stop()
	_, err := p.Publish(t.Context(), &pubsub.Message{Data: []byte(data)}).Get(t.Context())
	require.NoError(t, err)
}

// subscriptions names those that there are.
func (f fixture) listSubscriptions(t *testing.T) (names []string) {
	t.Helper()
	all := f.pubsub.Client.SubscriptionAdminClient.ListSubscriptions(t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/" + emulatortest.Project})
	for {
		s, err := all.Next()
		if errors.Is(err, iterator.Done) {
			return names
		}
		require.NoError(t, err)
		names = append(names, s.Name)
	}
}

// task is something that goes on until it is stopped.
type backgroundTask struct {
	t        *testing.T
	stopOnce sync.Once
	cancel   context.CancelFunc
	done     chan error
}

// during runs f until stop is called, or the test ends.
func runInBackground(t *testing.T, f func(context.Context) error) *backgroundTask {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &backgroundTask{t: t, cancel: cancel, done: make(chan error, 1)}
	go func() { r.done <- f(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// stop requires that it ends well.
func (r *backgroundTask) stop() {
	r.t.Helper()
	r.stopOnce.Do(func() {
		r.cancel()
		require.NoError(r.t, await(r.t, r.done))
	})
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(waitTimeout):
		require.FailNow(t, "nothing came")
		panic("not reached")
	}
}
