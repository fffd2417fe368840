package quota

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/history"
)

// chanPublisher queues the published executions until the test claims them.
type chanPublisher chan execution.Ref

func (p chanPublisher) Publish(_ context.Context, ch execution.Change) error {
	for _, ref := range ch.Notify {
		p <- ref
	}
	return nil
}

// model is a tenant whose executions start, finish, fail, are handed back or lose their executor, in an order that
// rapid chooses.
type model struct {
	*Enforcer
	store           *store.Store // without limits
	clock           *emulatortest.Clock
	published       chanPublisher
	tenant          string
	agent           string
	refs            []execution.Ref
	runningAttempts map[execution.Ref]int // number of the attempt that runs
}

const lease = 15 * time.Second

func (m *model) submit(t *rapid.T) {
	ch, err := m.SubmitRun(context.Background(), store.RunRequest{Tenant: m.tenant, AgentID: m.agent, Input: "x"})
	require.NoError(t, err)
	m.refs = append(m.refs, ch.Execution.Ref())
	require.NoError(t, m.published.Publish(context.Background(), ch))
}

// apply applies an event and publishes the change, as an executor, the API or a janitor does.
func (m *model) apply(t *rapid.T, ref execution.Ref, ev execution.Event) {
	ch, err := m.Apply(context.Background(), ref, ev)
	if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) {
		return
	}
	require.NoError(t, err)
	if ch.Execution.Status != execution.Running {
		delete(m.runningAttempts, ref)
	}
	require.NoError(t, m.published.Publish(context.Background(), ch))
}

// endAttempt applies an event to one of the running attempts.
func (m *model) endAttempt(t *rapid.T, ev func(attempt int) execution.Event) {
	if len(m.runningAttempts) == 0 {
		t.Skip("no attempt runs")
	}
	running := slices.SortedFunc(maps.Keys(m.runningAttempts), func(a, b execution.Ref) int {
		return slices.Index(m.refs, a) - slices.Index(m.refs, b)
	})
	ref := rapid.SampledFrom(running).Draw(t, "which")
	m.apply(t, ref, ev(m.runningAttempts[ref]))
}

// drain releases and claims executions until nothing is pending or published.
func (m *model) drain(t *rapid.T) {
	for {
		require.NoError(t, m.releasePending(context.Background()))
		select {
		case ref := <-m.published:
			ch, err := m.Apply(context.Background(), ref, execution.Claimed{Executor: "x", Lease: lease})
			if err == nil {
				m.runningAttempts[ref] = ch.Execution.Attempt
			} else if !errors.Is(err, execution.ErrThrottled) && !errors.Is(err, execution.ErrTerminal) {
				require.ErrorIs(t, err, execution.ErrLeased)
			}
		default:
			return
		}
	}
}

// However attempts end, the running limit holds, and no execution stays throttled while there is capacity.
func TestCapacityIsAlwaysReused(t *testing.T) {
	t.Parallel()
	clock := new(emulatortest.Clock)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	var tenants int
	rapid.Check(t, func(t *rapid.T) {
		tenants++ // each check has its own tenant
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		m := &model{clock: clock, published: make(chanPublisher, 10_000), tenant: fmt.Sprintf("tenant-%d", tenants), runningAttempts: map[execution.Ref]int{}}
		m.store = store.New(f.Client)
		m.Enforcer = New(Config{Store: m.store, Limits: Limits{Running: limit}, Publisher: m.published, Log: zap.NewNop()})
		a := agent.Agent{Tenant: m.tenant, Name: "A", Runtime: "offline", Timeout: time.Minute, RetryPolicy: agent.RetryPolicy{MaxAttempts: 2}}
		require.NoError(t, m.store.CreateAgent(context.Background(), &a, nil))
		m.agent = a.ID

		t.Repeat(map[string]func(*rapid.T){
			"submit": m.submit,
			"finish": func(t *rapid.T) {
				m.endAttempt(t, func(n int) execution.Event {
					return execution.JobEnded{Attempt: n, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{}}}
				})
			},
			"fail and retry": func(t *rapid.T) {
				m.endAttempt(t, func(n int) execution.Event {
					failure := execution.Failure{Code: execution.CodeAgentError, Message: "m"}
					return execution.JobEnded{Attempt: n, Ending: failure.Ending(execution.Usage{})}
				})
			},
			"fail the attempt": func(t *rapid.T) {
				m.endAttempt(t, func(n int) execution.Event { return execution.AttemptFailed{Attempt: n} })
			},
			"hand back": func(t *rapid.T) {
				m.endAttempt(t, func(n int) execution.Event { return execution.HandedBack{Attempt: n} })
			},
			"cancel": func(t *rapid.T) {
				if len(m.refs) == 0 {
					t.Skip("there is no execution")
				}
				m.apply(t, rapid.SampledFrom(m.refs).Draw(t, "which"), execution.CancelRequested{})
			},
			"lose all executors": func(t *rapid.T) {
				m.clock.Advance(2 * lease)
				for _, ref := range m.refs {
					m.apply(t, ref, execution.Overdue{})
				}
			},
			"": func(t *rapid.T) {
				m.drain(t)
				running, err := m.store.CountRunning(context.Background(), m.tenant, 100)
				require.NoError(t, err)
				require.Equal(t, len(m.runningAttempts), running)
				require.LessOrEqual(t, running, limit)
				throttled, err := m.store.OldestThrottled(context.Background(), m.tenant, new(store.Scan), 100)
				require.NoError(t, err)
				if len(throttled) > 0 {
					require.Equal(t, limit, running, "%d are throttled", len(throttled))
				}
			},
		})
	})
}

// Processes that claim at the same moment exceed the limit by at most one execution per further process. All executions
// run although the clock stands still, so no notification comes from the janitor's interval.
func TestProcessesExceedLimitByAtMostOneEach(t *testing.T) {
	t.Parallel()
	const processes, workers, limit, total = 3, 3, 2, 60
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	recorder, _ := history.Watch(t, f.Address(), emulatortest.Project)
	published := make(chanPublisher, 100*total)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var finished atomic.Int32
	var running errgroup.Group
	unlimited := store.New(f.Client)
	for range processes {
		e := New(Config{Store: unlimited, Limits: Limits{Running: limit}, Publisher: published, Log: zap.NewNop()})
		running.Go(func() error { return e.Run(ctx) })
		for range workers {
			running.Go(func() error {
				for {
					select {
					case <-ctx.Done():
						return nil
					case ref := <-published:
						done, err := runInTwoAttempts(ctx, e, published, ref)
						if err != nil {
							return err
						}
						if done && finished.Add(1) == total {
							cancel()
						}
					}
				}
			})
		}
	}
	a := agent.Agent{Tenant: ada, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, unlimited.CreateAgent(t.Context(), &a, nil))
	for range total {
		ch, err := unlimited.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
		require.NoError(t, err)
		require.NoError(t, published.Publish(t.Context(), ch))
	}
	require.NoError(t, running.Wait())

	maxRunning, isRunning := 0, map[string]bool{}
	versions := recorder.History().Versions
	slices.SortStableFunc(versions, func(a, b history.Version) int { return a.At.Compare(b.At) })
	for _, v := range versions {
		if v.Execution != nil {
			isRunning[v.Execution.ID] = v.Execution.Status == execution.Running
		}
		count := 0
		for _, runs := range isRunning {
			if runs {
				count++
			}
		}
		maxRunning = max(maxRunning, count)
	}
	require.GreaterOrEqual(t, maxRunning, limit)
	require.LessOrEqual(t, maxRunning, limit+processes-1)
}

// runInTwoAttempts claims an execution, hands it back in its first attempt and finishes it in its second.
func runInTwoAttempts(ctx context.Context, e *Enforcer, published chanPublisher, ref execution.Ref) (finished bool, err error) {
	ch, err := e.Apply(ctx, ref, claim)
	if errors.Is(err, execution.ErrThrottled) || errors.Is(err, execution.ErrLeased) || errors.Is(err, execution.ErrTerminal) || ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var ev execution.Event = execution.HandedBack{Attempt: 1}
	if finished = ch.Execution.Attempt == 2; finished {
		ev = execution.JobEnded{Attempt: 2, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{}}}
	}
	if ch, err = e.Apply(ctx, ref, ev); err != nil {
		return false, err
	}
	return finished, published.Publish(ctx, ch)
}
