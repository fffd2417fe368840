package batchdispatch

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// observedStore is a real store that lets jobs continue after each DispatchBatch.
type observedStore struct {
	*store.Store
	dispatched chan struct{}
}

func (s observedStore) DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error) {
	defer func() {
		for range slots {
			select {
			case s.dispatched <- struct{}{}:
			default: // no other job waits
			}
		}
	}()
	return s.Store.DispatchBatch(ctx, ref)
}

// pacedSandbox is a sandbox whose jobs last until the dispatcher has dispatched a batch. So there are always
// executions to run, and only slots are scarce.
type pacedSandbox struct {
	observedStore
	requestDispatch func()          // causes a dispatch, of any batch
	done            <-chan struct{} // closed when the count is complete
}

func (p pacedSandbox) Run(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
	p.requestDispatch()
	select {
	case <-p.dispatched:
	case <-p.done:
	case <-ctx.Done():
		return sandbox.Outcome{}, context.Cause(ctx)
	}
	return sandbox.Outcome{EndReason: sandbox.Exited, Stdout: []byte(`{"type":"result","subtype":"success","num_turns":1,"result":"done"}` + "\n")}, nil
}

func (pacedSandbox) Ping(context.Context) error  { return nil }
func (pacedSandbox) Probe(context.Context) error { return nil }

const slots = 2

// finishCounter counts the finished executions of each tenant until one of them has finished all its executions.
type finishCounter struct {
	mu        sync.Mutex
	totals    map[string]int
	counts    map[string]int
	firstDone chan struct{} // closed when the first tenant has finished
}

func (c *finishCounter) add(tenant string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.firstDone:
		return
	default:
	}
	c.counts[tenant]++
	if c.counts[tenant] == c.totals[tenant] {
		close(c.firstDone)
	}
}

// Ten tenants with one to four batches of 50 to 5,000 inputs get equal shares of an executor's slots while all of
// them have executions to run.
func TestTenTenantsShareEqually(t *testing.T) {
	t.Parallel()
	const fairWindow = 12
	sizes := [][]int{
		{100}, {50, 50}, {5000}, {50, 500}, {200, 200, 200}, {1000}, {50, 50, 50, 500}, {600, 100}, {400}, {500, 500},
	}
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	s, q := store.New(f.Client), queue.New(emulatortest.StartPubSub(t, pubsubemulator.Options{}).Client)
	require.NoError(t, q.Ensure(t.Context()))
	t.Cleanup(q.Close)

	counter := &finishCounter{totals: map[string]int{}, counts: map[string]int{}, firstDone: make(chan struct{})}
	var submissions errgroup.Group
	batches := 0
	for i, totals := range sizes {
		tenant := fmt.Sprint("tenant", i)
		batches += len(totals)
		for _, total := range totals {
			counter.totals[tenant] += total
			submissions.Go(func() error { return submitBatch(t.Context(), s, tenant, total, fairWindow) })
		}
	}
	require.NoError(t, submissions.Wait())

	observed := observedStore{s, make(chan struct{})}
	dispatcher := New(Config{Store: observed, Executions: s, Publisher: q, Interval: interval, Log: zap.NewNop()})
	due, err := s.DueBatches(t.Context(), new(store.Scan), 1)
	require.NoError(t, err)
	x := executor.New(executor.Config{
		Name: "x", Slots: slots, Lease: time.Hour, Heartbeat: 20 * time.Minute, Grace: time.Minute,
		Executions: s, Tasks: s, Queue: q, Runtimes: runtimes(), Log: zap.NewNop(),
		Sandbox: pacedSandbox{observed, func() { dispatcher.pending.Add(due[0]) }, counter.firstDone},
		OnFinished: func(e execution.Execution) {
			counter.add(e.Tenant)
			dispatcher.OnExecutionFinished(e)
		},
	})
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return dispatcher.Run(ctx) })
	require.Eventually(t, func() bool { // each batch has executions in the queue
		dispatched, err := f.Client.CollectionGroup("batches").Where("nextInput", ">", 0).Documents(t.Context()).GetAll()
		return err == nil && len(dispatched) == batches
	}, waitTimeout, 100*time.Millisecond)
	running.Go(func() error { return x.Run(ctx) })
	select {
	case <-counter.firstDone:
	case <-time.After(2 * waitTimeout):
		t.Error("no tenant has finished")
	}
	stop()
	require.NoError(t, running.Wait())

	sum := 0
	for _, n := range counter.counts {
		sum += n
	}
	fairShare := float64(sum) / float64(len(sizes))
	for i, totals := range sizes {
		n := counter.counts[fmt.Sprint("tenant", i)]
		t.Logf("tenant with batches of %v: %d, %+.0f %%", totals, n, 100*(float64(n)/fairShare-1))
		assert.InEpsilon(t, fairShare, n, 0.2, "tenant with batches of %v", totals)
	}
}

func submitBatch(ctx context.Context, s *store.Store, tenant string, total, window int) error {
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	if err := s.CreateAgent(ctx, &a, nil); err != nil {
		return err
	}
	b := batch.Batch{ID: id.New(id.Batch), Tenant: tenant, AgentID: a.ID, Total: total, Window: window}
	inputs := s.NewBatchInputWriter(b.Ref())
	for range total {
		if err := inputs.Add(ctx, batch.Input{Text: "x"}); err != nil {
			return err
		}
	}
	if err := inputs.Flush(ctx); err != nil {
		return err
	}
	return s.SubmitBatch(ctx, &b, nil)
}

func runtimes() *agentruntime.Registry {
	var all []agentruntime.Runtime
	for _, entry := range catalog.Builtin().Runtimes {
		all = append(all, agentruntime.FromCatalog(entry, nil))
	}
	return agentruntime.NewRegistry(all...)
}
