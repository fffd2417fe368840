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
	"github.com/airlock-run/airlock/internal/test/history/historytest"
)

// belfry keeps what was announced until the test takes it up.
type belfry chan execution.Ref

func (b belfry) Tell(_ context.Context, ch execution.Change) error {
	for _, ref := range ch.Announce {
		b <- ref
	}
	return nil
}

// model is a tenant whose executions begin, end, break, are handed back or lose
// their executor, in the order that rapid chooses.
type model struct {
	*Store
	clock *emulatortest.Clock
	rung  belfry
	owner string
	agent string
	all   []execution.Ref
	runs  map[execution.Ref]int // the attempts that run
}

const lease = 15 * time.Second

func (m *model) submit(t *rapid.T) {
	ch, err := m.SubmitRun(context.Background(), store.Run{Owner: m.owner, AgentID: m.agent, Input: "x"})
	require.NoError(t, err)
	m.all = append(m.all, ch.Execution.Ref())
	require.NoError(t, m.rung.Tell(context.Background(), ch))
}

// apply does what an executor, the API or a janitor does.
func (m *model) apply(t *rapid.T, ref execution.Ref, ev execution.Event) {
	ch, err := m.Apply(context.Background(), ref, ev)
	if errors.Is(err, execution.ErrNotDue) || errors.Is(err, execution.ErrTerminal) {
		return
	}
	require.NoError(t, err)
	if ch.Execution.Status != execution.Running {
		delete(m.runs, ref)
	}
	require.NoError(t, m.rung.Tell(context.Background(), ch))
}

// stop ends one of the attempts that run, in the way that ev says.
func (m *model) stop(t *rapid.T, ev func(attempt int) execution.Event) {
	if len(m.runs) == 0 {
		t.Skip("none runs")
	}
	running := slices.SortedFunc(maps.Keys(m.runs), func(a, b execution.Ref) int {
		return slices.Index(m.all, a) - slices.Index(m.all, b)
	})
	ref := rapid.SampledFrom(running).Draw(t, "which")
	m.apply(t, ref, ev(m.runs[ref]))
}

// settle lets all that was noted and announced be taken up.
func (m *model) settle(t *rapid.T) {
	for {
		require.NoError(t, m.look(context.Background()))
		select {
		case ref := <-m.rung:
			ch, err := m.Apply(context.Background(), ref, execution.Claimed{Executor: "x", Lease: lease})
			if err == nil {
				m.runs[ref] = ch.Execution.Attempt
			} else if !errors.Is(err, execution.ErrHeld) && !errors.Is(err, execution.ErrTerminal) {
				require.ErrorIs(t, err, execution.ErrLeased)
			}
		default:
			return
		}
	}
}

// However attempts end, no more run than may, and none is held while there is a place.
func TestEveryPlaceIsTakenAgain(t *testing.T) {
	t.Parallel()
	clock := new(emulatortest.Clock)
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{Now: clock.Now})
	var tenants int
	rapid.Check(t, func(t *rapid.T) {
		tenants++ // each with a tenant of its own
		limit := rapid.IntRange(1, 4).Draw(t, "limit")
		m := &model{clock: clock, rung: make(belfry, 10_000), owner: fmt.Sprintf("tenant-%d", tenants), runs: map[execution.Ref]int{}}
		m.Store = New(store.New(f.Client), Limits{Running: limit}, m.rung, zap.NewNop())
		a := agent.Agent{Owner: m.owner, Name: "A", Runtime: "offline", Timeout: time.Minute, Retry: agent.Retry{MaxAttempts: 2}}
		require.NoError(t, m.CreateAgent(context.Background(), &a))
		m.agent = a.ID

		t.Repeat(map[string]func(*rapid.T){
			"submit": m.submit,
			"finish": func(t *rapid.T) {
				m.stop(t, func(n int) execution.Event {
					return execution.Finished{Attempt: n, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{}}}
				})
			},
			"fail, to be tried again": func(t *rapid.T) {
				m.stop(t, func(n int) execution.Event {
					failure := execution.Failure{Code: execution.CodeAgentError, Message: "m"}
					return execution.Finished{Attempt: n, Ending: failure.Ends(execution.Usage{})}
				})
			},
			"break":     func(t *rapid.T) { m.stop(t, func(n int) execution.Event { return execution.Broke{Attempt: n} }) },
			"hand back": func(t *rapid.T) { m.stop(t, func(n int) execution.Event { return execution.HandedBack{Attempt: n} }) },
			"cancel": func(t *rapid.T) {
				if len(m.all) == 0 {
					t.Skip("there is none")
				}
				m.apply(t, rapid.SampledFrom(m.all).Draw(t, "which"), execution.CancelAsked{})
			},
			"the executors die": func(t *rapid.T) {
				m.clock.Advance(2 * lease)
				for _, ref := range m.all {
					m.apply(t, ref, execution.FellDue{})
				}
			},
			"": func(t *rapid.T) {
				m.settle(t)
				running, err := m.CountRunning(context.Background(), m.owner, 100)
				require.NoError(t, err)
				require.Equal(t, len(m.runs), running)
				require.LessOrEqual(t, running, limit)
				held, err := m.OldestHeld(context.Background(), m.owner, 100)
				require.NoError(t, err)
				if len(held) > 0 {
					require.Equal(t, limit, running, "%d are held", len(held))
				}
			},
		})
	})
}

// Processes that claim at the same moment pass the limit by one for each but
// the first, at no time by more; and all of it runs, though nobody announces
// anything for having waited too long: the clock stands still.
func TestManyProcessesPassTheLimitByOneEach(t *testing.T) {
	t.Parallel()
	const processes, hands, limit, total = 3, 3, 2, 60
	f := emulatortest.StartFirestore(t, firestoreemulator.Options{})
	recorder, _ := historytest.Watch(t, f.Address(), emulatortest.Project)
	rung := make(belfry, 100*total)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ended atomic.Int32
	var running errgroup.Group
	var first *Store
	for range processes {
		s := New(store.New(f.Client), Limits{Running: limit}, rung, zap.NewNop())
		first = s
		running.Go(func() error { return s.Run(ctx) })
		for range hands {
			running.Go(func() error {
				for {
					select {
					case <-ctx.Done():
						return nil
					case ref := <-rung:
						over, err := perform(ctx, s, rung, ref)
						if err != nil {
							return err
						}
						if over && ended.Add(1) == total {
							cancel()
						}
					}
				}
			})
		}
	}
	a := agent.Agent{Owner: ada, Name: "A", Runtime: "offline", Timeout: time.Minute}
	require.NoError(t, first.CreateAgent(t.Context(), &a))
	for range total {
		ch, err := first.SubmitRun(t.Context(), store.Run{Owner: ada, AgentID: a.ID, Input: "x"})
		require.NoError(t, err)
		require.NoError(t, rung.Tell(t.Context(), ch))
	}
	require.NoError(t, running.Wait())

	most, now := 0, map[string]bool{}
	seen := recorder.History().Versions
	slices.SortStableFunc(seen, func(a, b history.Version) int { return a.At.Compare(b.At) })
	for _, v := range seen {
		if v.Execution != nil {
			now[v.Execution.ID] = v.Execution.Status == execution.Running
		}
		count := 0
		for _, runs := range now {
			if runs {
				count++
			}
		}
		most = max(most, count)
	}
	require.GreaterOrEqual(t, most, limit)
	require.LessOrEqual(t, most, limit+processes-1)
}

// perform claims an execution, hands it back the first time, and ends it the second.
func perform(ctx context.Context, s *Store, rung belfry, ref execution.Ref) (over bool, err error) {
	ch, err := s.Apply(ctx, ref, claim)
	if errors.Is(err, execution.ErrHeld) || errors.Is(err, execution.ErrLeased) || errors.Is(err, execution.ErrTerminal) || ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var ev execution.Event = execution.HandedBack{Attempt: 1}
	if over = ch.Execution.Attempt == 2; over {
		ev = execution.Finished{Attempt: 2, Ending: execution.Ending{Status: execution.Succeeded, Result: &execution.Result{}}}
	}
	if ch, err = s.Apply(ctx, ref, ev); err != nil {
		return false, err
	}
	return over, rung.Tell(ctx, ch)
}
