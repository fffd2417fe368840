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
	patience = 20 * time.Second
	// tick is how often it looks for what announces itself to nobody.
	tick = 5 * time.Millisecond
)

var (
	hello = execution.Ref{Owner: "ada", ID: exe(1)}
	named = `{"owner":"ada","executionId":"` + hello.ID + `"}` // as a message says it
)

// exe is an execution's ID, the same for the same number.
func exe(n int) string { return id.Derived(id.Execution, sha256.Sum256([]byte{byte(n)})) }

type fixture struct {
	*Queue
	pubsub  *emulatortest.PubSub
	settled *settled
}

// settled is what the clients of a fixture have asked for.
type settled struct {
	acked atomic.Int32 // messages, so far

	mu     sync.Mutex
	delays []time.Duration // of what was given back
	hurry  bool            // makes them 0
}

func (s *settled) intercept(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	if back, ok := req.(*pubsubpb.ModifyAckDeadlineRequest); ok {
		s.mu.Lock()
		s.delays = append(s.delays, time.Duration(back.AckDeadlineSeconds)*time.Second)
		if s.hurry {
			back.AckDeadlineSeconds = 0
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
func start(t *testing.T) fixture {
	t.Helper()
	s := new(settled)
	p := emulatortest.StartPubSub(t, pubsubemulator.Options{}, grpc.WithChainUnaryInterceptor(s.intercept))
	q := New(p.Client)
	require.NoError(t, q.Ensure(t.Context()))
	t.Cleanup(q.Close)
	return fixture{Queue: q, pubsub: p, settled: s}
}

// receive takes what is announced until it is stopped.
func (f fixture) receive(t *testing.T) (<-chan execution.Ref, *task) {
	t.Helper()
	got := make(chan execution.Ref, 100)
	return got, during(t, func(ctx context.Context) error {
		for ctx.Err() == nil {
			announced, err := f.Pull(ctx, execution.Interactive, 4)
			if err != nil && ctx.Err() == nil {
				return err
			}
			for _, a := range announced {
				got <- a.Ref
				a.Acknowledge()
			}
		}
		return nil
	})
}

// pull awaits one announcement of the interactive lane.
func (f fixture) pull(t *testing.T) Announcement {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	announced, err := f.Pull(ctx, execution.Interactive, 1)
	require.NoError(t, err)
	require.Len(t, announced, 1)
	return announced[0]
}

func (f fixture) announce(t *testing.T, refs ...execution.Ref) {
	t.Helper()
	require.NoError(t, f.Tell(t.Context(), execution.Change{Execution: execution.Execution{Owner: "ada", ID: exe(0), Lane: execution.Interactive}, Announce: refs}))
}

// publish sends what no Tell would.
func (f fixture) publish(t *testing.T, topic, data string) {
	t.Helper()
	p := f.pubsub.Client.Publisher(topic)
	defer p.Stop()
	_, err := p.Publish(t.Context(), &pubsub.Message{Data: []byte(data)}).Get(t.Context())
	require.NoError(t, err)
}

// subscriptions names those that there are.
func (f fixture) subscriptions(t *testing.T) (names []string) {
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
type task struct {
	t     *testing.T
	once  sync.Once
	end   context.CancelFunc
	ended chan error
}

// during runs f until stop is called, or the test ends.
func during(t *testing.T, f func(context.Context) error) *task {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &task{t: t, end: cancel, ended: make(chan error, 1)}
	go func() { r.ended <- f(ctx) }()
	t.Cleanup(r.stop)
	return r
}

// stop requires that it ends well.
func (r *task) stop() {
	r.t.Helper()
	r.once.Do(func() {
		r.end()
		require.NoError(r.t, await(r.t, r.ended))
	})
}

func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case got := <-c:
		return got
	case <-time.After(patience):
		require.FailNow(t, "nothing came")
		panic("not reached")
	}
}
