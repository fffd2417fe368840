package executor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/usage"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

func TestJobOutputBecomesResult(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	f.run(testConfig(), b)
	ref := f.submit("offline", "one two")
	job := next(t, b.started)
	require.Equal(t, ref.ID, job.Execution)
	require.Contains(t, string(job.Stdin), "one two")
	require.Equal(t, time.Minute, job.Timeout)

	e := f.await(ref, execution.Succeeded)
	require.Equal(t, "done", e.Result.Text)
	require.Equal(t, 1, e.Attempt)
	require.Zero(t, e.FailedAttempts)
}

// A failed job is a result: by default it is not retried.
func TestJobFailureIsNotRetried(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	outcomes := map[string]struct {
		outcome sandbox.Outcome
		status  execution.Status
		code    execution.Code
	}{
		"exit code":     {sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3}, execution.Failed, execution.CodeAgentError},
		"no result":     {sandbox.Outcome{EndReason: sandbox.Exited}, execution.Failed, execution.CodeInvalidResult},
		"invalid JSON":  {sandbox.Outcome{EndReason: sandbox.Exited, Stdout: []byte("\x00\xff{")}, execution.Failed, execution.CodeInvalidResult},
		"timed out":     {sandbox.Outcome{EndReason: sandbox.TimedOut}, execution.TimedOut, execution.CodeTimedOut},
		"out of memory": {sandbox.Outcome{EndReason: sandbox.OutOfMemory}, execution.Failed, execution.CodeOutOfMemory},
		"tampered":      {sandbox.Outcome{EndReason: sandbox.Tampered, ExitCode: 137}, execution.Failed, execution.CodeAgentError},
		"output limit":  {sandbox.Outcome{EndReason: sandbox.OutputLimit}, execution.Failed, execution.CodeOutputLimit},
	}
	b := newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		return outcomes[promptOf(job)].outcome, nil
	})
	f.run(testConfig(), b)
	for name, tc := range outcomes {
		e := f.await(f.submit("offline", name), tc.status)
		if tc.code != "" {
			require.Equal(t, tc.code, e.Failure.Code, name)
		}
		require.Equal(t, 1, e.Attempt, name)
		require.Zero(t, e.FailedAttempts, name)
		require.NotEmpty(t, e.Receipt, name)
	}
	require.Len(t, b.started, len(outcomes))
}

// The usage names the model that ran, however the job ended, although the agent names none.
func TestUsageIsOfDefaultModel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	entry := catalog.Builtin().Runtimes[0]
	entry.Models = []string{"default-model", "another"}
	x := f.newExecutor(testConfig(), f.store, f.queue, newFakeSandbox(func(_ context.Context, job sandbox.Job) (sandbox.Outcome, error) {
		if promptOf(job) == "fails" {
			return sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3}, nil
		}
		return successOutcome("done"), nil
	}))
	x.config.Runtimes = agentruntime.NewRegistry(agentruntime.FromCatalog(entry, nil))
	f.start(x)
	f.await(f.submit("offline", "succeeds"), execution.Succeeded)
	f.await(f.submit("offline", "fails"), execution.Failed)
	_, _, err := f.store.FlushUsage(t.Context())
	require.NoError(t, err)
	report := usage.Report{By: usage.Dimensions{Model: true}}
	require.NoError(t, f.store.Usage(t.Context(), tenant, "2000-01-01", "2999-12-31", &report))
	groups := report.Groups()
	require.Len(t, groups, 1)
	require.Equal(t, "default-model", groups[0].Model)
	require.EqualValues(t, 2, groups[0].Executions())
}

// An executor without the runtime leaves the execution to another one.
func TestUnknownRuntimeIsNotClaimed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("never")
	f.run(testConfig(), b)
	perl := f.submit("perl", "x")
	offline := f.submit("offline", "x")
	f.await(offline, execution.Succeeded)
	e := f.stored(perl)
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.Attempt)
	require.Len(t, b.started, 1)
}

// A turn receives the messages before it, and the reply contains the builder's draft.
func TestTurnGetsHistoryAndStoresReply(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return stdoutOutcome(map[string]any{
			"type": "result", "subtype": "success", "num_turns": 1, "result": "in words",
			"structured_output": map[string]any{"reply": "Here:", "agent": map[string]any{"name": "N", "instructions": "I"}},
		}), nil
	})
	f.run(testConfig(), b)
	first := f.submitTurn("", "make an agent", conversation.BuilderSchema)
	require.Empty(t, files(next(t, b.started)))
	e := f.await(first.Ref(), execution.Succeeded)
	require.Equal(t, "Here:", e.Result.Text)
	require.Equal(t, "N", e.Result.AgentDraft.Name)

	second := f.submitTurn(first.ConversationID, "another", conversation.BuilderSchema)
	history := files(next(t, b.started))
	require.Contains(t, history, "make an agent")
	require.Contains(t, history, "Here:")
	require.NotContains(t, history, "another")
	f.await(second.Ref(), execution.Succeeded)
	messages, err := f.store.Messages(t.Context(), tenant, first.ConversationID, 0, 10)
	require.NoError(t, err)
	require.Len(t, messages, 4)
	require.Equal(t, "N", messages[3].AgentDraft.Name)
}

func files(job sandbox.Job) string {
	var all strings.Builder
	for _, file := range job.Files {
		all.Write(file.Data)
	}
	return all.String()
}

// An attempt that fails because of Airlock is retried after a growing back-off, at most three times in all.
func TestInfrastructureFailureRetriedUntilAttemptsExhausted(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{Record: begunRecord()}, errors.New("the container was lost")
	})
	f.run(testConfig(), b)
	ref := f.submit("offline", "x")
	for failedBefore, pause := range []time.Duration{2 * time.Second, 4 * time.Second} {
		require.Error(t, next(t, b.ended))
		e := f.await(ref, execution.Queued)
		require.Equal(t, failedBefore+1, e.FailedAttempts)
		require.WithinRange(t, *e.Due, e.StartedAt.Add(pause/2), e.StartedAt.Add(pause+time.Second))
		f.clock.Advance(pause + time.Second)
		ch, err := f.store.Apply(t.Context(), ref, execution.Overdue{}) // as the janitor does
		require.NoError(t, err)
		require.NoError(t, f.queue.Publish(t.Context(), ch))
	}
	e := f.await(ref, execution.Failed)
	require.Equal(t, execution.CodeAttemptsExhausted, e.Failure.Code)
	require.Equal(t, 3, e.Attempt)
	require.NotContains(t, e.Failure.Message, "container", "internals are logged, and not returned")
	require.Len(t, b.started, 3)
}

// A job that no sandbox can run is not tried again.
func TestInvalidJobIsFinal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) {
		return sandbox.Outcome{}, fmt.Errorf("%w: negative limit", sandbox.ErrInvalidJob)
	})
	f.run(testConfig(), b)
	e := f.await(f.submit("offline", "x"), execution.Failed)
	require.Equal(t, execution.CodeInvalidTask, e.Failure.Code)
	require.Contains(t, e.Failure.Message, "negative limit")
	require.Equal(t, 1, e.Attempt)
}

// unreadableHistoryStore is a real store that cannot read messages.
type unreadableHistoryStore struct {
	*store.Store
	err func(context.Context) error
}

func (s *unreadableHistoryStore) Messages(ctx context.Context, _, _ string, _, _ int) ([]conversation.Message, error) {
	return nil, s.err(ctx)
}

func TestTurnRetriedWhenHistoryUnreadable(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("never")
	f.start(f.newExecutor(testConfig(), &unreadableHistoryStore{f.store, func(context.Context) error { return store.ErrUnavailable }}, f.queue, b))
	turn := f.submitTurn("", "hello", "")
	require.Eventually(t, func() bool { return f.stored(turn.Ref()).StartFailures != nil }, waitTimeout, pollInterval)
	e := f.stored(turn.Ref())
	require.Equal(t, execution.Queued, e.Status)
	require.Zero(t, e.FailedAttempts, "no sandbox had the job")
	require.Equal(t, "Airlock could not prepare the job", e.StartFailures.LastReason)
	require.Empty(t, b.started)
}
