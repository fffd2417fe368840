package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

func (f fixture) setTranscriptRetention(t *testing.T, name string, retention *time.Duration) {
	t.Helper()
	require.NoError(t, f.UpdateTenantSettings(t.Context(), name, tenant.SettingsPatch{
		TranscriptRetention: tenant.FieldPatch[time.Duration]{Set: true, Value: retention},
	}))
}

// agentWithTranscripts creates an agent of ada whose transcripts are stored for a time.
func (f fixture) agentWithTranscripts(t *testing.T, retention *time.Duration) agent.Agent {
	t.Helper()
	return f.updateAgent(t, f.createAgent(t, ada), func(a *agent.Agent) { a.TranscriptRetention = retention })
}

func (f fixture) submitRunOf(t *testing.T, a agent.Agent) execution.Ref {
	t.Helper()
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	return ch.Execution.Ref()
}

// run runs an execution to its end, on an installation with a default, and returns how long after the end its
// transcript expires; 0: with the execution.
func (f fixture) run(t *testing.T, ref execution.Ref, installation *time.Duration) time.Duration {
	t.Helper()
	f.mustApply(t, ref, execution.Claimed{Executor: "x1", TranscriptBound: installation})
	f.mustApply(t, ref, successEvent(1, "done"))
	e := f.getExecution(t, ref)
	if e.TranscriptExpiresAt == nil {
		return 0
	}
	return e.TranscriptExpiresAt.Sub(*e.FinishedAt)
}

// The tenant's setting overrides that of the installation, and bounds that of the agent. All kinds of executions have
// it. That of the agent is fixed at the acceptance, that of the tenant at the claim.
func TestTranscriptRetentionOfEachLevel(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	const day = 24 * time.Hour
	plain, short := f.createAgent(t, ada), f.agentWithTranscripts(t, new(time.Hour))
	require.Zero(t, f.run(t, f.submitRunOf(t, plain), nil))
	require.Equal(t, day, f.run(t, f.submitRunOf(t, plain), new(day)), "the installation's")
	require.Equal(t, time.Hour, f.run(t, f.submitRunOf(t, short), nil), "the agent's")

	f.setTranscriptRetention(t, ada, new(2*day))
	require.Equal(t, 2*day, f.run(t, f.submitRunOf(t, plain), new(day)), "the tenant's")
	require.Equal(t, time.Hour, f.run(t, f.submitRunOf(t, short), new(day)))
	turn := f.submitTurn(t, "", "x")
	require.Equal(t, 2*day, f.run(t, turn.Ref(), nil), "a turn of the agent builder")
	b := f.submitBatch(t, "x")
	_, ofBatch := f.dispatch(t, b.Ref())
	require.Equal(t, 2*day, f.run(t, ofBatch[0], nil), "a line of a batch")

	accepted := f.submitRunOf(t, short)
	f.updateAgent(t, short, func(a *agent.Agent) { a.TranscriptRetention = nil })
	require.Equal(t, time.Hour, f.run(t, accepted, nil), "it has the version of the agent that it was accepted with")
	require.Equal(t, 2*day, f.run(t, f.submitRunOf(t, short), nil), "the newest version has none")
	pinned, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: short.ID, AgentVersion: 2, Input: "x"})
	require.NoError(t, err)
	require.Equal(t, time.Hour, f.run(t, pinned.Execution.Ref(), nil))

	queued := f.submitRunOf(t, plain)
	f.setTranscriptRetention(t, ada, new(time.Duration))
	require.Equal(t, execution.MinTranscriptRetention, f.run(t, queued, nil), "it had not begun")
	f.setTranscriptRetention(t, ada, nil)
	require.Zero(t, f.run(t, f.submitRunOf(t, plain), nil), "the setting is reset")
	require.Zero(t, f.run(t, f.submitRun(t, bob), nil), "another tenant")
}

func TestExpiredTranscripts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	agentOf := f.agentWithTranscripts(t, new(time.Hour))
	old, unfinished, kept := f.submitRunOf(t, agentOf), f.submitRunOf(t, agentOf), f.submitRun(t, bob)
	f.run(t, old, nil)
	f.run(t, kept, nil)
	f.mustApply(t, unfinished, claimEvent)
	f.setTranscriptRetention(t, ada, new(time.Hour))
	b := f.submitBatch(t, "x")
	_, ofBatch := f.dispatch(t, b.Ref())
	f.run(t, ofBatch[0], nil)
	var a artifacts
	require.Zero(t, f.purgeTranscripts(t, &a), "too young")
	f.clock.Advance(time.Hour)
	young := f.submitRunOf(t, agentOf)
	f.run(t, young, nil)

	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredTranscripts(t.Context(), now, new(Scan), 10)
	require.NoError(t, err)
	require.Len(t, expired, 2)
	failing := artifacts{fail: map[execution.Ref]bool{old: true, ofBatch[0]: true}}
	for _, e := range expired {
		_, err := e.Delete(t.Context(), failing.delete)
		require.Error(t, err)
	}
	require.Nil(t, f.getExecution(t, old).TranscriptDeletedAt, "its transcript could not be deleted")

	require.Equal(t, 2, f.purgeTranscripts(t, &a))
	require.ElementsMatch(t, []execution.Ref{old, ofBatch[0]}, a.deleted)
	require.Zero(t, f.purgeTranscripts(t, &a), "they are not found again")
	for _, ref := range []execution.Ref{old, ofBatch[0]} {
		e := f.getExecution(t, ref)
		require.Nil(t, e.TranscriptExpiresAt)
		require.WithinDuration(t, now, *e.TranscriptDeletedAt, time.Minute)
		require.Equal(t, "done", e.Result.Text, "the rest stays")
	}
	for _, ref := range []execution.Ref{unfinished, kept, young} {
		require.Nil(t, f.getExecution(t, ref).TranscriptDeletedAt)
	}
	for _, e := range expired { // another janitor found them at the same time
		_, err := e.Delete(t.Context(), a.delete)
		require.NoError(t, err)
	}
	require.NoError(t, f.deleteExecution(t.Context(), old, a.delete))
	_, err = expired[0].Delete(t.Context(), a.delete)
	require.NoError(t, err)
	_, err = expired[1].Delete(t.Context(), a.delete)
	require.NoError(t, err)
	require.False(t, f.exists(t, old), "a deleted execution does not come back")
}

func (f fixture) purgeTranscripts(t *testing.T, a *artifacts) int {
	t.Helper()
	return f.purgeAt(t, f.ExpiredTranscripts, 0, a)
}
