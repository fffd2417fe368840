package quota

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// submitConcurrently submits n runs to each process, spread over a time, and returns how many were accepted.
func submitConcurrently(t *testing.T, processes []*Enforcer, a agent.Agent, n int, spread time.Duration) int {
	t.Helper()
	var accepted atomic.Int32
	var g errgroup.Group
	tick := time.NewTicker(spread / time.Duration(n))
	defer tick.Stop()
	for range n {
		<-tick.C
		for _, e := range processes {
			g.Go(func() error {
				_, err := e.SubmitRun(t.Context(), store.RunRequest{Tenant: a.Tenant, AgentID: a.ID, Input: "x"})
				if err == nil {
					accepted.Add(1)
				} else if !errors.As(err, new(*QueueFullError)) {
					return err
				}
				return nil
			})
		}
	}
	require.NoError(t, g.Wait())
	return int(accepted.Load())
}

// delayCommits makes each commit take a time longer, before it takes effect or before its answer.
func delayCommits(f *emulatortest.Firestore, latency time.Duration, beforeAnswer bool) {
	f.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		if _, ok := req.(*firestorepb.CommitRequest); !ok {
			return do(ctx, req)
		}
		if beforeAnswer {
			defer time.Sleep(latency)
		} else {
			time.Sleep(latency)
		}
		return do(ctx, req)
	})
}

// However long a commit takes, and whether a count sees it before its answer arrives or not, one process admits exactly
// the limit.
func TestQueuedLimitAtAnyCommitLatency(t *testing.T) {
	t.Parallel()
	const limit, posts, spread = 20, 200, 600 * time.Millisecond
	for _, latency := range []time.Duration{0, 50 * time.Millisecond, 150 * time.Millisecond, 400 * time.Millisecond} {
		for _, visibleBefore := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, counted before the answer: %t", latency, visibleBefore), func(t *testing.T) {
				t.Parallel()
				h := newHarness(t, Limits{Queued: limit})
				a := h.createAgent(ada)
				delayCommits(h.firestore, latency, visibleBefore)
				require.Equal(t, limit, submitConcurrently(t, []*Enforcer{h.Enforcer}, a, posts, spread))
				queued, err := h.store.CountQueued(t.Context(), ada, posts)
				require.NoError(t, err)
				require.Equal(t, limit, queued)
			})
		}
	}
}

// Processes learn of each other's admissions only when they count. Each of them admits no more than the limit.
func TestProcessesAdmitAtMostTheLimitEach(t *testing.T) {
	t.Parallel()
	const limit, posts, processes = 5, 50, 3
	h := newHarness(t, Limits{Queued: limit})
	enforcers := []*Enforcer{h.Enforcer}
	for range processes - 1 {
		enforcers = append(enforcers, New(Config{Store: h.store, Limits: h.limits, Fleet: h.fleet, Log: zap.NewNop()}))
	}
	a := h.createAgent(ada)
	delayCommits(h.firestore, 150*time.Millisecond, false)
	accepted := submitConcurrently(t, enforcers, a, posts, 100*time.Millisecond)
	require.GreaterOrEqual(t, accepted, limit)
	require.LessOrEqual(t, accepted, processes*limit)
	require.Zero(t, submitConcurrently(t, enforcers, a, 1, time.Millisecond), "each of them has counted now")
}

// A client that hangs up does not know whether its run was stored, and neither does the process. Its place stays taken.
func TestQueuedLimitOfClientsThatHangUp(t *testing.T) {
	t.Parallel()
	const limit, posts = 5, 40
	h := newHarness(t, Limits{Queued: limit})
	a := h.createAgent(ada)
	committing, proceed := make(chan struct{}, posts), make(chan struct{})
	h.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		if _, ok := req.(*firestorepb.CommitRequest); ok {
			committing <- struct{}{}
			<-proceed
		}
		return do(context.WithoutCancel(ctx), req)
	})
	release := sync.OnceFunc(func() { close(proceed) })
	defer release()
	for range limit {
		ctx, cancel := context.WithCancel(t.Context())
		answered := make(chan error, 1)
		go func() {
			_, err := h.SubmitRun(ctx, store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
			answered <- err
		}()
		<-committing
		cancel()
		require.ErrorIs(t, <-answered, store.ErrOutcomeUnknown)
	}
	for range posts {
		_, err := h.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
		require.ErrorAs(t, err, new(*QueueFullError))
	}
	release()
	require.Eventually(t, func() bool {
		queued, err := h.store.CountQueued(t.Context(), ada, posts)
		return err == nil && queued == limit
	}, waitTimeout, time.Millisecond)
}

// A write that was certainly refused takes no place.
func TestRefusedSubmissionTakesNoPlace(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Limits{Queued: 2})
	for range 10 {
		_, err := h.SubmitRun(t.Context(), store.RunRequest{Tenant: ada, AgentID: "agt_missing", Input: "x"})
		require.ErrorAs(t, err, new(*store.NotFoundError))
	}
	h.submit(ada, 2)
}

// A process remembers the tenants that submitted lately, and no others.
func TestTenantsWithoutInformationAreForgotten(t *testing.T) {
	t.Parallel()
	a := NewAdmissions(&fakeStore{})
	kept, err := a.Admit(t.Context(), "kept", 1)
	require.NoError(t, err)
	for i := range minSweep - 1 {
		admission, err := a.Admit(t.Context(), fmt.Sprint(i), 1)
		require.NoError(t, err)
		admission.Confirm()
	}
	require.Len(t, a.queues, minSweep)
	for _, q := range a.queues {
		q.countedAt = q.countedAt.Add(-maxAgeToAdmit)
	}
	_, err = a.Admit(t.Context(), "new", 1)
	require.NoError(t, err)
	require.Len(t, a.queues, 2)
	_, err = a.Admit(t.Context(), "kept", 1)
	require.ErrorAs(t, err, new(*QueueFullError), "its admission is pending")
	kept.Release()
	_, err = a.Admit(t.Context(), "kept", 1)
	require.NoError(t, err)
}

// With a limit that was raised, a count that stopped at the old one says too little.
func TestRaisedLimitCountsAgain(t *testing.T) {
	t.Parallel()
	s := &fakeStore{queued: 5}
	a := NewAdmissions(s)
	_, err := a.Admit(t.Context(), ada, 2)
	require.ErrorAs(t, err, new(*QueueFullError))
	_, err = a.Admit(t.Context(), ada, 5)
	require.ErrorAs(t, err, new(*QueueFullError))
	require.Equal(t, 2, s.counts)
	_, err = a.Admit(t.Context(), ada, 6)
	require.NoError(t, err)
}

func TestSettleFollowsOutcomeOfTheWrite(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err                         error
		pending, confirmed, unknown int
	}{
		"committed": {nil, 0, 1, 0},
		"refused":   {execution.ErrTerminal, 0, 0, 0},
		"unknown":   {fmt.Errorf("x: %w", store.ErrOutcomeUnknown), 0, 0, 1},
	} {
		a := NewAdmissions(&fakeStore{})
		admission, err := a.Admit(t.Context(), ada, 1)
		require.NoError(t, err)
		admission.Settle(tc.err)
		q := admission.queue
		require.Equal(t, []int{tc.pending, tc.confirmed, tc.unknown}, []int{q.pending, q.confirmed, len(q.unknown)}, name)
	}
	var unlimited *Admission
	unlimited.Settle(nil)
	unlimited.Settle(store.ErrOutcomeUnknown)
	unlimited.Release()
}

type counterFunc func() int

func (f counterFunc) CountQueued(context.Context, string, int) (int, error) { return f(), nil }

// A count may contain writes whose answers have not come yet. They are not counted twice.
func TestCountWithUnansweredWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 20
		committed, answers := 0, []*Admission{}
		a := NewAdmissions(counterFunc(func() int {
			n := committed
			if len(answers) > 0 && n > limit/2 { // the next answer arrives while it is counted
				answers[0].Confirm()
				answers = answers[1:]
			}
			return n
		}))
		admit := func() error {
			admission, err := a.Admit(t.Context(), ada, limit)
			if err == nil {
				committed++
				answers = append(answers, admission)
			}
			return err
		}
		for range limit - 4 {
			require.NoError(t, admit())
		}
		for _, answer := range answers {
			answer.Confirm()
		}
		answers = nil
		for range 2 {
			require.NoError(t, admit())
		}
		time.Sleep(2 * maxAgeToAdmit)
		for range 2 {
			require.NoError(t, admit(), "%d are queued", committed)
		}
		require.Error(t, admit())
		require.Equal(t, limit, committed)
	})
}
