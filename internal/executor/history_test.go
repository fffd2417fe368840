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
func (w *world) recorded() *history.Recorder {
	w.t.Helper()
	r, _ := historytest.Watch(w.t, w.firestore.Address(), emulatortest.Project)
	w.t.Cleanup(func() {
		require.Eventually(w.t, func() bool { return len(history.Check(r.History())) == 0 }, patience, reread, "%v", history.Check(r.History()))
	})
	return r
}

// agent is one that runs can be submitted to.
func (w *world) agent() string {
	w.t.Helper()
	a := agent.Agent{Owner: owner, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(w.t, w.store.CreateAgent(w.t.Context(), &a))
	return a.ID
}

// A thousand times somebody cancels what is about to end: it ends one way or
// the other, once.
func TestCancelRacesCompletion(t *testing.T) {
	t.Parallel()
	const races, at = 1000, 8
	w := newWorld(t)
	r := w.recorded()
	ended := make(chan execution.Execution, races)
	b := newBox(func(context.Context, sandbox.Job) (sandbox.Outcome, error) { return answer("done"), nil })
	b.started, b.ended = make(chan sandbox.Job, races), make(chan error, races)
	c := unhurried()
	c.Slots = at
	x := w.with(c, w.store, w.queue, b)
	x.ended = func(e execution.Execution) { ended <- e }
	w.start(x)

	id := w.agent()
	race := func(i int) error {
		ch, err := w.store.SubmitRun(t.Context(), store.Run{Owner: owner, AgentID: id, Input: "x"})
		if err != nil {
			return err
		}
		r.Promised(history.Promise{Execution: ch.Execution.ID})
		told := make(chan error, 1)
		go func() { told <- w.queue.Tell(t.Context(), ch) }()
		if i%3 > 0 { // now and then before anybody has heard of it
			if err := <-told; err != nil {
				return err
			}
			told <- nil
		}
		for again := true; again; { // for as long as the two contend for the document
			var cancelled execution.Change
			cancelled, err = w.store.Apply(t.Context(), ch.Execution.Ref(), execution.CancelAsked{})
			if again = errors.Is(err, store.ErrUnavailable); err == nil {
				err = w.queue.Tell(t.Context(), cancelled)
			}
		}
		if errors.Is(err, execution.ErrTerminal) {
			err = nil
		}
		return errors.Join(err, <-told)
	}
	var racing errgroup.Group
	racing.SetLimit(at)
	for i := range races {
		racing.Go(func() error { return race(i) })
	}
	require.NoError(t, racing.Wait())
	require.Eventually(t, func() bool {
		by := history.Sum(r.History()).ByStatus
		return by[execution.Succeeded]+by[execution.Canceled] == races
	}, time.Minute, 200*time.Millisecond, "%s", history.Sum(r.History()))
	t.Log(history.Sum(r.History()))
}

// Messages come in any order, and any number of times, and each execution runs
// once, turns in their order.
func TestMessagesInAnyOrderAndNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.recorded()
	b := answering("done")
	b.started, b.ended = make(chan sandbox.Job, 1e5), make(chan error, 1e5)
	for _, name := range []string{"x1", "x2"} {
		c := unhurried()
		c.Name, c.Slots = name, 4
		w.start(w.with(c, w.store, w.queue, b))
	}
	id := w.agent()
	rapid.Check(t, func(t *rapid.T) {
		var made []execution.Execution
		note := func(ch execution.Change, err error) {
			require.NoError(t, err)
			made = append(made, ch.Execution)
		}
		for range rapid.IntRange(0, 3).Draw(t, "runs") {
			note(w.store.SubmitRun(w.t.Context(), store.Run{Owner: owner, AgentID: id, Input: "x"}))
		}
		conversation := ""
		for range rapid.IntRange(1, 4).Draw(t, "turns") {
			note(w.store.SubmitTurn(w.t.Context(), store.Turn{
				Owner: owner, ConversationID: conversation, Message: "hello", Builder: execution.Task{Runtime: "offline"},
			}))
			conversation = made[len(made)-1].ConversationID
		}
		messages := append(rapid.Permutation(made).Draw(t, "once"), rapid.SliceOfN(rapid.SampledFrom(made), 0, 8).Draw(t, "again")...)
		for _, e := range rapid.Permutation(messages).Draw(t, "messages") {
			require.NoError(t, w.queue.Tell(w.t.Context(), execution.Change{Execution: e, Announce: []execution.Ref{e.Ref()}}))
		}
		for _, e := range made {
			require.Equal(t, 1, w.await(e.Ref(), execution.Succeeded).Attempt)
		}
	})
}
