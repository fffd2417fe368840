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
	"github.com/airlock-run/airlock/internal/test/history/historytest"
)

// recorded writes down what happens in the world's Firestore, and requires at
// the end of the test that all of it was right.
func (w *fixture) recordHistory() *history.Recorder {
	w.t.Helper()
	r, _ := historytest.Watch(w.t, w.firestore.Address(), emulatortest.Project)
	w.t.Cleanup(func() {
		require.Eventually(w.t, func() bool { return len(history.Check(r.History())) == 0 }, waitTimeout, pollInterval, "%v", history.Check(r.History()))
	})
	return r
}

// agent is one that runs can be submitted to.
func (w *fixture) createAgent() string {
	w.t.Helper()
	a := agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	return a.ID
}

// A thousand times somebody cancels what is about to end: it ends one way or
// the other, once.
func TestCancelRacesCompletion(t *testing.T) {
	t.Parallel()
	const races, at = 1000, 8
	w := newFixture(t)
	r := w.recordHistory()
	ended := make(chan execution.Execution, races)
	b := newFakeSandbox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) { return successOutcome("done"), nil })
	b.started, b.ended = make(chan sandbox.Job, races), make(chan error, races)
	c := testConfig()
	c.Slots = at
	x := w.newExecutor(c, w.store, w.queue, b)
	x.onFinished = func(e execution.Execution) { ended <- e }
	w.start(x)

	id := w.createAgent()
	race := func(i int) error {
		ch, err := w.store.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: id, Input: "x"})
		if err != nil {
			return err
		}
		r.RecordAcceptance(history.Acceptance{Execution: ch.Execution.ID})
		published := make(chan error, 1)
		go func() { published <- w.queue.Publish(t.Context(), ch) }()
		if i%3 > 0 { // now and then before anybody has heard of it
			if err := <-published; err != nil {
				return err
			}
			published <- nil
		}
		for retry := true; retry; { // for as long as the two contend for the document
			var cancelled execution.Change
			cancelled, err = w.store.Apply(t.Context(), ch.Execution.Ref(), execution.CancelRequested{})
			if retry = errors.Is(err, store.ErrUnavailable); err == nil {
				err = w.queue.Publish(t.Context(), cancelled)
			}
		}
		if errors.Is(err, execution.ErrTerminal) {
			err = nil
		}
		return errors.Join(err, <-published)
	}
	var racing errgroup.Group
	racing.SetLimit(at)
	for i := range races {
		racing.Go(func() error { return race(i) })
	}
	require.NoError(t, racing.Wait())
	require.Eventually(t, func() bool {
		by := history.Summarize(r.History()).ByStatus
		return by[execution.Succeeded]+by[execution.Canceled] == races
	}, time.Minute, 200*time.Millisecond, "%s", history.Summarize(r.History()))
	t.Log(history.Summarize(r.History()))
}

// Messages come in any order, and any number of times, and each execution runs
// once, turns in their order.
func TestNotificationsReorderedAndDuplicated(t *testing.T) {
	t.Parallel()
	w := newFixture(t)
	w.recordHistory()
	b := answeringSandbox("done")
	b.started, b.ended = make(chan sandbox.Job, 1e5), make(chan error, 1e5)
	for _, name := range []string{"x1", "x2"} {
		c := testConfig()
		c.Name, c.Slots = name, 4
		w.start(w.newExecutor(c, w.store, w.queue, b))
	}
	id := w.createAgent()
	rapid.Check(t, func(t *rapid.T) {
		var executions []execution.Execution
		record := func(ch execution.Change, err error) {
			require.NoError(t, err)
			executions = append(executions, ch.Execution)
		}
		for range rapid.IntRange(0, 3).Draw(t, "runs") {
			record(w.store.SubmitRun(w.t.Context(), store.RunRequest{Tenant: tenant, AgentID: id, Input: "x"}))
		}
		conversation := ""
		for range rapid.IntRange(1, 4).Draw(t, "turns") {
			record(w.store.SubmitTurn(w.t.Context(), store.TurnRequest{
				Tenant: tenant, ConversationID: conversation, Message: "hello", Builder: execution.Task{Runtime: "offline"},
			}))
			conversation = executions[len(executions)-1].ConversationID
		}
		messages := append(rapid.Permutation(executions).Draw(t, "once"), rapid.SliceOfN(rapid.SampledFrom(executions), 0, 8).Draw(t, "again")...)
		for _, e := range rapid.Permutation(messages).Draw(t, "messages") {
			require.NoError(t, w.queue.Publish(w.t.Context(), execution.Change{Execution: e, Notify: []execution.Ref{e.Ref()}}))
		}
		for _, e := range executions {
			require.Equal(t, 1, w.await(e.Ref(), execution.Succeeded).Attempt)
		}
	})
}
