package executor

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/test/history"
)

// recordHistory records all changes in Firestore, and checks at the end of the test that they keep the promises of
// docs/reliability.md.
func (f *fixture) recordHistory() *history.Recorder {
	f.t.Helper()
	r, _ := history.Watch(f.t, f.firestore.Address(), emulatortest.Project)
	f.t.Cleanup(func() {
		require.Eventually(f.t, func() bool { return len(history.Check(r.History())) == 0 }, waitTimeout, pollInterval, "%v", history.Check(r.History()))
	})
	return r
}

// createAgent returns the ID of a new agent.
func (f *fixture) createAgent() string {
	f.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(f.t, f.store.CreateAgent(f.t.Context(), &a, nil))
	return a.ID
}

// A thousand executions are canceled while they are finishing. Each ends exactly once, in one way or the other.
func TestCancelRacesCompletion(t *testing.T) {
	t.Parallel()
	const races, concurrency = 1000, 8
	f := newFixture(t)
	r := f.recordHistory()
	ended := make(chan execution.Execution, races)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) { return successOutcome("done"), nil })
	b.started, b.ended = make(chan sandbox.Job, races), make(chan error, races)
	c := testConfig()
	c.Slots = concurrency
	c.OnFinished = func(e execution.Execution) { ended <- e }
	f.start(f.newExecutor(c, f.store, f.queue, b))

	id := f.createAgent()
	race := func(i int) error {
		ch, err := f.store.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: id, Input: "x"})
		if err != nil {
			return err
		}
		r.RecordAcceptance(history.Acceptance{Execution: ch.Execution.ID})
		published := make(chan error, 1)
		go func() { published <- f.queue.Publish(t.Context(), ch) }()
		if i%3 > 0 { // else the cancellation may come before the notification
			if err := <-published; err != nil {
				return err
			}
			published <- nil
		}
		for retry := true; retry; { // while the two compete for the document
			var canceled execution.Change
			canceled, err = f.store.Apply(t.Context(), ch.Execution.Ref(), execution.CancelRequested{})
			if retry = errors.Is(err, store.ErrUnavailable); err == nil {
				err = f.queue.Publish(t.Context(), canceled)
			}
		}
		if errors.Is(err, execution.ErrTerminal) {
			err = nil
		}
		return errors.Join(err, <-published)
	}
	var racing errgroup.Group
	racing.SetLimit(concurrency)
	for i := range races {
		racing.Go(func() error { return race(i) })
	}
	require.NoError(t, racing.Wait())
	require.Eventually(t, func() bool {
		by := history.Summarize(r.History()).ByStatus
		return by[execution.Succeeded]+by[execution.Canceled] == races
	}, waitTimeout, 200*time.Millisecond, "%s", history.Summarize(r.History()))
	t.Log(history.Summarize(r.History()))
}

// Notifications arrive in any order and any number of times. Each execution runs once, and turns run in their order.
func TestNotificationsReorderedAndDuplicated(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.recordHistory()
	b := answeringSandbox("done")
	b.started, b.ended = make(chan sandbox.Job, 1e5), make(chan error, 1e5)
	for _, name := range []string{"x1", "x2"} {
		c := testConfig()
		c.Name, c.Slots = name, 4
		f.start(f.newExecutor(c, f.store, f.queue, b))
	}
	id := f.createAgent()
	rapid.Check(t, func(t *rapid.T) {
		var executions []execution.Execution
		record := func(ch execution.Change, err error) {
			require.NoError(t, err)
			executions = append(executions, ch.Execution)
		}
		for range rapid.IntRange(0, 3).Draw(t, "runs") {
			record(f.store.SubmitRun(f.t.Context(), store.RunRequest{Tenant: tenant, AgentID: id, Input: "x"}))
		}
		conversation := ""
		for range rapid.IntRange(1, 4).Draw(t, "turns") {
			record(f.store.SubmitTurn(f.t.Context(), store.TurnRequest{
				Tenant: tenant, ConversationID: conversation, Message: "hello", Builder: execution.Task{Runtime: "offline"},
			}))
			conversation = executions[len(executions)-1].ConversationID
		}
		messages := append(rapid.Permutation(executions).Draw(t, "once"), rapid.SliceOfN(rapid.SampledFrom(executions), 0, 8).Draw(t, "again")...)
		for _, e := range rapid.Permutation(messages).Draw(t, "messages") {
			require.NoError(t, f.queue.Publish(f.t.Context(), execution.Change{Execution: e, Notify: []execution.Runnable{e.Runnable()}}))
		}
		for _, e := range executions {
			require.Equal(t, 1, f.await(e.Ref(), execution.Succeeded).Attempt)
		}
	})
}
