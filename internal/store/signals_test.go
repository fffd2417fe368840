package store

import (
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/signal"
)

// sent returns the signals in the inbox of a process, in their order.
func (f fixture) sent(t *testing.T, process string) []signal.Signal {
	t.Helper()
	found, err := list[signal.Signal](t.Context(), f.inboxItems(process).OrderBy("at", firestore.Asc))
	require.NoError(t, err)
	return found
}

func (f fixture) allSignals(t *testing.T) int {
	t.Helper()
	return f.countDocuments(t, f.client.CollectionGroup(inboxItems).Query)
}

func (f fixture) watch(t *testing.T, ref execution.Ref, kind WatchKind, processes ...string) {
	t.Helper()
	for _, process := range processes {
		e, version, err := f.ExecutionVersion(t.Context(), ref)
		require.NoError(t, err)
		require.NoError(t, f.AddWatcher(t.Context(), &e, version, kind, process))
	}
}

// claimIn and endIn begin and end the first attempt, under a session.
func claimIn(session, dispatcher string) execution.Claimed {
	return execution.Claimed{Executor: "x1", Session: session, Dispatcher: dispatcher}
}

func endIn(session, text string) execution.JobEnded {
	return execution.JobEnded{Session: session, Attempt: 1, Ending: successEnding(text)}
}

func TestNobodyWatchesNoSignal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, claimEvent)
	f.mustApply(t, ref, successEvent(1, "2"))
	require.Zero(t, f.allSignals(t))
}

// An end is delivered once to each process that watches it, however it watches, and to nobody else.
func TestSignalsOfEnd(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.watch(t, ref, WatchEnds, "prc_a", "prc_b", "prc_a")
	f.watch(t, ref, WatchChanges, "prc_b", "prc_c")
	f.mustApply(t, ref, claimIn("prc_x.1", "prc_a"))
	require.Equal(t, 2, f.allSignals(t), "only those who watch all changes learn of the start")
	f.mustApply(t, ref, endIn("prc_x.1", "2"))
	require.Equal(t, 2+3, f.allSignals(t))

	ended := f.sent(t, "prc_a")
	require.Len(t, ended, 1)
	require.Equal(t, signal.KindChange, ended[0].Kind)
	require.Equal(t, ada, ended[0].Tenant)
	agentID := f.getExecution(t, ref).AgentID
	require.Equal(t, &signal.Change{
		ExecutionID: ref.ID, Kind: execution.KindRun, Status: execution.Succeeded, Lane: execution.LaneInteractive, Attempt: 1, AgentID: agentID,
	}, ended[0].Change)
	changes := f.sent(t, "prc_c")
	require.Len(t, changes, 2)
	require.Equal(t, execution.Running, changes[0].Change.Status)
	require.Equal(t, execution.Succeeded, changes[1].Change.Status)
}

// An execution that ends in the queue has no lease that names its dispatcher. The claim that finds the end tells it.
func TestDispatcherLearnsOfEndInTheQueue(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, execution.CancelRequested{})
	require.Zero(t, f.allSignals(t))
	for _, dispatcher := range []string{"prc_d", ""} {
		_, err := f.Apply(t.Context(), ref, claimIn("prc_x.1", dispatcher))
		require.ErrorIs(t, err, execution.ErrTerminal)
	}
	require.Equal(t, 1, f.allSignals(t))
	require.Equal(t, execution.Canceled, f.sent(t, "prc_d")[0].Change.Status)
}

// An execution that runs by a notification of the API may be published once more, by a dispatcher that has just begun.
// Its claim tells the dispatcher that nobody will tell it of the end.
func TestDispatcherLearnsOfForeignClaim(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, claimIn("prc_x.1", ""))
	_, err := f.Apply(t.Context(), ref, claimIn("prc_y.1", "prc_d"))
	require.ErrorIs(t, err, execution.ErrLeased)
	require.Equal(t, execution.Running, f.sent(t, "prc_d")[0].Change.Status)

	own := f.submitRun(t, ada)
	f.mustApply(t, own, claimIn("prc_x.1", "prc_e"))
	_, err = f.Apply(t.Context(), own, claimIn("prc_y.1", "prc_e"))
	require.ErrorIs(t, err, execution.ErrLeased)
	require.Empty(t, f.sent(t, "prc_e"), "the end will be signalled")
}

func TestSignalOfEndNamesNextTurn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.submitTurn(t, "", "one")
	second := f.submitTurn(t, first.ConversationID, "two")
	f.mustApply(t, first.Ref(), claimIn("prc_x.1", "prc_d"))
	f.mustApply(t, first.Ref(), endIn("prc_x.1", "reply"))
	sent := f.sent(t, "prc_d")
	require.Len(t, sent, 1, "the transaction that stores the reply also sends the signal")
	require.Equal(t, second.ID, sent[0].Change.NextTurn)
	require.Equal(t, first.ConversationID, sent[0].Change.ConversationID)
}

func TestSignalOfCancellation(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	queued := f.submitRun(t, ada)
	f.mustApply(t, queued, execution.CancelRequested{})
	require.Zero(t, f.allSignals(t), "nobody runs it")

	ref := f.submitRun(t, ada)
	f.mustApply(t, ref, claimIn("prc_x.3", ""))
	f.mustApply(t, ref, execution.CancelRequested{})
	f.mustApply(t, ref, execution.CancelRequested{})
	sent := f.sent(t, "prc_x")
	require.Len(t, sent, 1)
	require.Equal(t, signal.KindCancel, sent[0].Kind)
	require.Equal(t, ref.ID, sent[0].Change.ExecutionID)
	require.Equal(t, ada, sent[0].Tenant)

	f.clock.Advance(10 * time.Second) // the job has not ended, so the signal may be lost
	f.mustApply(t, ref, execution.Overdue{})
	require.Len(t, f.sent(t, "prc_x"), 2)
}

// What happens in this process needs no inbox, but the process learns of it only when it is stored.
func TestSignalToOwnProcessAfterCommit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	var seen []execution.Status
	f.OpenInbox("prc_own", func(s signal.Signal) {
		require.Equal(t, s.Change.Status, f.getExecution(t, ref).Status)
		seen = append(seen, s.Change.Status)
	})
	f.watch(t, ref, WatchChanges, "prc_own")
	f.mustApply(t, ref, claimEvent)
	f.mustApply(t, ref, successEvent(1, "2"))
	require.Equal(t, []execution.Status{execution.Running, execution.Succeeded}, seen)
	require.Zero(t, f.allSignals(t))
}

func TestAddWatcherAfterChange(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ref := f.submitRun(t, ada)
	e, version, err := f.ExecutionVersion(t.Context(), ref)
	require.NoError(t, err)
	f.mustApply(t, ref, claimEvent)
	require.ErrorIs(t, f.AddWatcher(t.Context(), &e, version, WatchEnds, "prc_a"), ErrChanged)
	f.watch(t, ref, WatchEnds, "prc_a")
	require.Equal(t, []string{"prc_a"}, f.getExecution(t, ref).Watchers.Ends)
	f.watch(t, ref, WatchEnds, "prc_a")

	for i := range 2 * maxWatchers {
		f.watch(t, ref, WatchChanges, string(rune('a'+i)))
	}
	watchers := f.getExecution(t, ref).Watchers
	require.Len(t, append(watchers.Ends, watchers.Changes...), maxWatchers)
	f.mustApply(t, ref, successEvent(1, "2"))
	f.watch(t, ref, WatchEnds, "prc_b")
	require.NotContains(t, f.getExecution(t, ref).Watchers.Ends, "prc_b", "it has finished")
}

func TestTenantWatcherLearnsOfAllChanges(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	runner, api := New(f.firestore.Client), New(f.firestore.Client) // two processes
	runner.OpenInbox("prc_x", runner.NoteWatch)
	ref, other := f.submitRun(t, ada), f.submitRun(t, bob)
	for _, r := range []execution.Ref{ref, other} {
		_, err := runner.Apply(t.Context(), r, claimIn("prc_x.1", ""))
		require.NoError(t, err)
	}

	require.NoError(t, api.WatchTenant(t.Context(), ada, "prc_api"))
	told := f.sent(t, "prc_x")
	require.Len(t, told, 1, "it runs an execution of the tenant")
	require.Equal(t, signal.KindWatch, told[0].Kind)
	require.Equal(t, "prc_api", told[0].From)
	runner.NoteWatch(told[0])
	for _, r := range []execution.Ref{ref, other} {
		_, err := runner.Apply(t.Context(), r, endIn("prc_x.1", "2"))
		require.NoError(t, err)
	}
	queued := f.submitRun(t, ada)
	f.mustApply(t, queued, execution.CancelRequested{})
	var ids []string
	for _, s := range f.sent(t, "prc_api") {
		require.Equal(t, ada, s.Tenant)
		ids = append(ids, s.Change.ExecutionID)
	}
	require.Equal(t, []string{ref.ID, queued.ID, queued.ID}, ids, "it was created and canceled")

	f.clock.Advance(TenantWatch + time.Minute)
	require.NoError(t, api.WatchTenant(t.Context(), ada, "prc_new"))
	late := f.submitRun(t, ada)
	_, err := New(f.firestore.Client).Apply(t.Context(), late, execution.CancelRequested{})
	require.NoError(t, err)
	require.Len(t, f.sent(t, "prc_api"), 3, "it has stopped watching")
	require.Len(t, f.sent(t, "prc_new"), 2)
}

func TestCreationIsSignalled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	require.NoError(t, f.WatchTenant(t.Context(), ada, "prc_a"))
	f.submitRun(t, bob)
	first := f.submitTurn(t, "", "one").ID
	run := f.submitRun(t, ada).ID
	sent := f.sent(t, "prc_a")
	require.Len(t, sent, 2)
	for i, created := range []string{first, run} {
		require.Equal(t, created, sent[i].Change.ExecutionID)
		require.Equal(t, execution.Queued, sent[i].Change.Status)
	}
	require.Equal(t, 2, f.allSignals(t))
}
