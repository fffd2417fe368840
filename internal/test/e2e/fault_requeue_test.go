package e2e

import (
	"context"
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/history"
)

// The leader is killed in the middle of queueing again the 5,000 executions of a dead executor. The next leader queues
// the rest. Each execution has lost one attempt, and its second one ends it.
func TestFaultLeaderKilledWhileRequeueing(t *testing.T) {
	t.Parallel()
	skipLeases(t)
	const total, before = 5000, 2000
	l := newFaultCluster(t, 0)
	s := store.New(l.firestore.Client)
	dead := fleet.Session{ID: "prc_dead.1", Process: "prc_dead", Kind: fleet.KindExecutor, Name: "dead"}
	refs := l.createRunning(dead, total)

	// It has no Engine, so that it takes no execution.
	killed := l.startExecutorAsync("DOCKER_HOST=unix://" + filepath.Join(l.socketDir, "none.sock"))
	killed.awaitLine(t, `(leading the fleet)`)
	var requeued atomic.Int64
	l.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		response, err := do(ctx, req)
		if commit, ok := req.(*firestorepb.CommitRequest); ok && err == nil && queues(commit) && requeued.Add(1) == before {
			return response, killed.Process.Signal(syscall.SIGKILL)
		}
		return response, err
	})
	require.NoError(t, s.BeginSession(t.Context(), dead))
	require.NoError(t, s.EndSession(t.Context(), dead.ID)) // it has expired at once
	killed.awaitKilled(t)
	left := l.countExecutions(execution.Running)
	require.Positive(t, left, "the leader was killed too late")
	require.LessOrEqual(t, left, total-before)
	_, err := s.Session(t.Context(), dead.ID)
	require.NoError(t, err)

	l.clock.Advance(afterNotification) // some were queued and not published
	startedAt := time.Now()
	// The jobs end without a sandbox, because nobody may use their model.
	next := l.startExecutor("AIRLOCK_EXECUTOR_SLOTS=32", "ANTHROPIC_API_KEY=none")
	l.eventually("the dead session is deleted", func() bool {
		_, err := s.Session(t.Context(), dead.ID)
		return errors.Is(err, fleet.ErrSessionLost)
	})
	t.Logf("the next leader queued %d executions within %s", left, time.Since(startedAt).Round(time.Millisecond))
	l.eventually("everything has ended", func() bool {
		return l.countExecutions(execution.Running)+l.countExecutions(execution.Queued) == 0
	})
	t.Logf("all executions ended within %s", time.Since(startedAt).Round(time.Millisecond))
	l.requireHistoryHolds(next)

	last := map[string]*execution.Execution{}
	for _, v := range l.recorder.History().Versions {
		if v.Execution != nil {
			last[v.Execution.ID] = v.Execution
		}
	}
	require.Len(t, last, total)
	for _, ref := range refs {
		e := last[ref.ID]
		require.Equal(t, execution.CodeModelNotAllowed, e.Failure.Code)
		require.Equal(t, 1, e.FailedAttempts)
		attempts, _ := e.AttemptHistory()
		require.Len(t, attempts, 2)
		require.Equal(t, dead.ID, attempts[0].Session)
		require.Equal(t, execution.AttemptLeaseExpired, attempts[0].Outcome)
		require.Equal(t, l.executorNames[1], attempts[1].Executor)
	}
}

// createRunning stores executions that run under a session, and records them as accepted. Their jobs fail.
func (l *faultCluster) createRunning(session fleet.Session, n int) (refs []execution.Ref) {
	l.t.Helper()
	const perCommit = 500
	now, err := store.New(l.firestore.Client).Now(l.t.Context())
	require.NoError(l.t, err)
	executions := l.firestore.Client.Collection("tenants/local/executions")
	for len(refs) < n {
		require.NoError(l.t, l.firestore.Client.RunTransaction(l.t.Context(), func(_ context.Context, tx *firestore.Transaction) error {
			for range min(perCommit, n-len(refs)) {
				e := execution.New(execution.Spec{
					Tenant: "local", Kind: execution.KindRun, Task: execution.Task{Runtime: "claude", Model: "none", Input: "one two"},
					Limits: execution.Limits{Timeout: time.Hour},
				}, now)
				require.NoError(l.t, e.Apply(execution.Claimed{Executor: session.Name, Session: session.ID}, now))
				require.NoError(l.t, tx.Create(executions.Doc(e.ID), &e))
				refs = append(refs, e.Ref())
			}
			return nil
		}, firestore.MaxAttempts(1)))
	}
	for _, ref := range refs {
		l.recorder.RecordAcceptance(history.Acceptance{Execution: ref.ID})
	}
	return refs
}

// countExecutions returns how many executions of the tenant have a status.
func (l *faultCluster) countExecutions(s execution.Status) int {
	l.t.Helper()
	executions := l.firestore.Client.Collection("tenants/local/executions")
	found, err := executions.Where("status", "==", string(s)).Select().Documents(l.t.Context()).GetAll()
	require.NoError(l.t, err)
	return len(found)
}

// queues reports whether a commit makes an execution queued.
func queues(commit *firestorepb.CommitRequest) bool {
	if !writes(commit, "executions") {
		return false
	}
	for _, w := range commit.Writes {
		if w.GetUpdate().GetFields()["status"].GetStringValue() == string(execution.Queued) {
			return true
		}
	}
	return false
}
