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

// looks is the real store, and says when the feeder has looked at a batch.
type observedStore struct {
	*store.Store
	dispatched chan struct{}
}

func (s observedStore) DispatchBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error) {
	defer func() {
		for range slots {
			select {
			case s.dispatched <- struct{}{}:
			default: // no job waits
			}
		}
	}()
	return s.Store.DispatchBatch(ctx, ref)
}

// paced is a sandbox whose jobs take as long as the feeder takes for a look: it
// is slots that are scarce, and never what there is to run.
type pacedSandbox struct {
	observedStore
	requestDispatch func()          // asks for one, of any batch
	done            <-chan struct{} // closed when all is counted
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

func (pacedSandbox) Ping(context.Context) error { return nil }

const slots = 2

// ends counts what has ended of each tenant, until one of them has ended all it had.
type finishCounter struct {
	mu        sync.Mutex
	totals    map[string]int
	counts    map[string]int
	firstDone chan struct{} // closed when the first tenant is done
}

func (e *finishCounter) add(tenant string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.firstDone:
		return
	default:
	}
	e.counts[tenant]++
	if e.counts[tenant] == e.totals[tenant] {
		close(e.firstDone)
	}
}

// Ten tenants with one to four batches of 50 to 5,000 inputs have equal shares
// of an executor's slots for as long as all of them have work.
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

	e := &finishCounter{totals: map[string]int{}, counts: map[string]int{}, firstDone: make(chan struct{})}
	var submissions errgroup.Group
	batches := 0
	for i, totals := range sizes {
		tenant := fmt.Sprint("tenant", i)
		batches += len(totals)
		for _, total := range totals {
			e.totals[tenant] += total
			submissions.Go(func() error { return submitBatch(t.Context(), s, tenant, total, fairWindow) })
		}
	}
	require.NoError(t, submissions.Wait())

	observed := observedStore{s, make(chan struct{})}
	dispatcher := New(observed, q, interval, zap.NewNop())
	now, err := s.Now(t.Context())
	require.NoError(t, err)
	due, err := s.DueBatches(t.Context(), now, 1)
	require.NoError(t, err)
	x := executor.New(executor.Config{Name: "x", Slots: slots, Lease: time.Hour, Heartbeat: 20 * time.Minute, Grace: time.Minute},
		s, q, pacedSandbox{observed, func() { dispatcher.pending.Add(due[0]) }, e.firstDone}, runtimes(), func(due execution.Execution) { e.add(due.Tenant); dispatcher.OnExecutionFinished(due) }, zap.NewNop())
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return dispatcher.Run(ctx) })
	require.Eventually(t, func() bool { // from when on all of them have work in the queue
		dispatched, err := f.Client.CollectionGroup("batches").Where("nextInput", ">", 0).Documents(t.Context()).GetAll()
		return err == nil && len(dispatched) == batches
	}, waitTimeout, 100*time.Millisecond)
	running.Go(func() error { return x.Run(ctx) })
	select {
	case <-e.firstDone:
	case <-time.After(4 * waitTimeout):
		t.Error("no tenant comes to its end")
	}
	stop()
	require.NoError(t, running.Wait())

	sum := 0
	for _, n := range e.counts {
		sum += n
	}
	fairShare := float64(sum) / float64(len(sizes))
	for i, totals := range sizes {
		n := e.counts[fmt.Sprint("tenant", i)]
		t.Logf("tenant with batches of %v: %d, %+.0f %%", totals, n, 100*(float64(n)/fairShare-1))
		assert.InEpsilon(t, fairShare, n, 0.2, "tenant with batches of %v", totals)
	}
}

func submitBatch(ctx context.Context, s *store.Store, tenant string, total, window int) error {
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute}
	if err := s.CreateAgent(ctx, &a); err != nil {
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
	return s.SubmitBatch(ctx, &b)
}

func runtimes() *agentruntime.Registry {
	var all []agentruntime.Runtime
	for _, entry := range catalog.Builtin().Runtimes {
		all = append(all, agentruntime.FromCatalog(entry, nil))
	}
	return agentruntime.NewRegistry(all...)
}
