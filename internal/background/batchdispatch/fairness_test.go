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
type looks struct {
	*store.Store
	over chan struct{}
}

func (s looks) FeedBatch(ctx context.Context, ref batch.Ref) (batch.Batch, execution.Change, error) {
	defer func() {
		for range slots {
			select {
			case s.over <- struct{}{}:
			default: // no job waits
			}
		}
	}()
	return s.Store.FeedBatch(ctx, ref)
}

// paced is a sandbox whose jobs take as long as the feeder takes for a look: it
// is slots that are scarce, and never what there is to run.
type paced struct {
	looks
	look func()          // asks for one, of any batch
	done <-chan struct{} // closed when all is counted
}

func (p paced) Run(ctx context.Context, _ sandbox.Job) (sandbox.Outcome, error) {
	p.look()
	select {
	case <-p.over:
	case <-p.done:
	case <-ctx.Done():
		return sandbox.Outcome{}, context.Cause(ctx)
	}
	return sandbox.Outcome{Ended: sandbox.Exited, Stdout: []byte(`{"type":"result","subtype":"success","num_turns":1,"result":"done"}` + "\n")}, nil
}

func (paced) Ping(context.Context) error { return nil }

const slots = 2

// ends counts what has ended of each tenant, until one of them has ended all it had.
type ends struct {
	mu     sync.Mutex
	left   map[string]int
	counts map[string]int
	first  chan struct{} // closed when the first tenant is done
}

func (e *ends) add(owner string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	select {
	case <-e.first:
		return
	default:
	}
	e.counts[owner]++
	if e.counts[owner] == e.left[owner] {
		close(e.first)
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

	e := &ends{left: map[string]int{}, counts: map[string]int{}, first: make(chan struct{})}
	var submissions errgroup.Group
	batches := 0
	for i, totals := range sizes {
		owner := fmt.Sprint("tenant", i)
		batches += len(totals)
		for _, total := range totals {
			e.left[owner] += total
			submissions.Go(func() error { return submitBatch(t.Context(), s, owner, total, fairWindow) })
		}
	}
	require.NoError(t, submissions.Wait())

	seen := looks{s, make(chan struct{})}
	feed := New(seen, q, interval, zap.NewNop())
	now, err := s.Now(t.Context())
	require.NoError(t, err)
	one, err := s.DueBatches(t.Context(), now, 1)
	require.NoError(t, err)
	x := executor.New(executor.Config{Name: "x", Slots: slots, Lease: time.Hour, Heartbeat: 20 * time.Minute, Grace: time.Minute},
		s, q, paced{seen, func() { feed.wanted.Leave(one[0]) }, e.first}, runtimes(), func(one execution.Execution) { e.add(one.Owner); feed.Ended(one) }, zap.NewNop())
	ctx, stop := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return feed.Run(ctx) })
	require.Eventually(t, func() bool { // from when on all of them have work in the queue
		fed, err := f.Client.CollectionGroup("batches").Where("next", ">", 0).Documents(t.Context()).GetAll()
		return err == nil && len(fed) == batches
	}, patience, 100*time.Millisecond)
	running.Go(func() error { return x.Run(ctx) })
	select {
	case <-e.first:
	case <-time.After(4 * patience):
		t.Error("no tenant comes to its end")
	}
	stop()
	require.NoError(t, running.Wait())

	sum := 0
	for _, n := range e.counts {
		sum += n
	}
	fair := float64(sum) / float64(len(sizes))
	for i, totals := range sizes {
		n := e.counts[fmt.Sprint("tenant", i)]
		t.Logf("tenant with batches of %v: %d, %+.0f %%", totals, n, 100*(float64(n)/fair-1))
		assert.InEpsilon(t, fair, n, 0.2, "tenant with batches of %v", totals)
	}
}

func submitBatch(ctx context.Context, s *store.Store, owner string, total, window int) error {
	a := agent.Agent{Owner: owner, Name: "A", Runtime: "offline", Timeout: time.Minute}
	if err := s.CreateAgent(ctx, &a); err != nil {
		return err
	}
	b := batch.Batch{ID: id.New(id.Batch), Owner: owner, AgentID: a.ID, Total: total, Window: window}
	inputs := s.NewInputs(b.Ref())
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
		all = append(all, agentruntime.From(entry, nil))
	}
	return agentruntime.New(all...)
}
