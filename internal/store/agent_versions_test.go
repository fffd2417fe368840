package store

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

func (f fixture) updateAgent(t *testing.T, a agent.Agent, edit func(*agent.Agent)) agent.Agent {
	t.Helper()
	after, err := f.UpdateAgent(t.Context(), a.Tenant, a.ID, func(a agent.Agent) (agent.Agent, error) {
		edit(&a)
		return a, nil
	})
	require.NoError(t, err)
	return after
}

func (f fixture) versions(t *testing.T, agentID string, before, limit int) []agent.VersionInfo {
	t.Helper()
	list, err := f.AgentVersions(t.Context(), ada, agentID, before, limit)
	require.NoError(t, err)
	return list
}

func TestEachChangeMakesAVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.createAgent(t, ada)
	require.Equal(t, 1, first.Version)
	f.clock.Advance(time.Minute)
	require.Equal(t, first, f.updateAgent(t, first, func(a *agent.Agent) { a.Name = first.Name }), "nothing changes")
	second := f.updateAgent(t, first, func(a *agent.Agent) { a.Instructions, a.Settings.Env = "Sum", map[string]string{"A": "b"} })
	require.Equal(t, 2, second.Version)
	require.True(t, second.UpdatedAt.After(first.UpdatedAt))
	third := f.updateAgent(t, first, func(a *agent.Agent) { a.Settings = agent.Settings{} })
	require.Equal(t, []agent.VersionInfo{
		{Version: 3, Changed: []string{"env"}, UpdatedAt: third.UpdatedAt},
		{Version: 2, Changed: []string{"instructions", "env"}, UpdatedAt: second.UpdatedAt},
		{Version: 1, UpdatedAt: first.UpdatedAt},
	}, f.versions(t, first.ID, 0, 10))
	require.Len(t, f.versions(t, first.ID, 3, 1), 1)
	require.Equal(t, 1, f.versions(t, first.ID, 2, 10)[0].Version)
	for number, want := range map[int]agent.Agent{1: first, 2: second, 3: third} {
		got, err := f.AgentVersion(t.Context(), ada, first.ID, number)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := f.AgentVersion(t.Context(), ada, first.ID, 4)
	require.Equal(t, &NotFoundError{Resource: "agent version", ID: "4"}, err)
	_, err = f.AgentVersion(t.Context(), bob, first.ID, 1)
	require.Equal(t, &NotFoundError{Resource: "agent", ID: first.ID}, err)
}

// The document that each submission reads does not have the settings, which may be large.
func TestSettingsAreInTheVersionOnly(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: ada, Name: "A", Settings: agent.Settings{Skills: []agent.Skill{{
		Name: "s", Files: []agent.SkillFile{{Path: "SKILL.md", Data: []byte(strings.Repeat("x", 700<<10))}},
	}}}}
	require.NoError(t, f.CreateAgent(t.Context(), &a, idempotencyKey(id.New(""), "r")))
	snap, err := f.agentDoc(ada, a.ID).Get(t.Context())
	require.NoError(t, err)
	require.NotContains(t, snap.Data(), "settings")
	require.Equal(t, true, snap.Data()["hasSettings"])
	got, err := f.Agent(t.Context(), ada, a.ID)
	require.NoError(t, err)
	require.Equal(t, a, got)
	list, err := f.Agents(t.Context(), ada, Page{Limit: 1})
	require.NoError(t, err)
	require.Equal(t, a.WithoutSettings(), list[0])
}

func TestConcurrentChangesMakeOneVersionEach(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	var g sync.WaitGroup
	for range 5 {
		g.Go(func() {
			for {
				_, err := f.UpdateAgent(t.Context(), ada, a.ID, func(a agent.Agent) (agent.Agent, error) {
					a.Budget.MaxTokens++
					return a, nil
				})
				if !errors.Is(err, ErrUnavailable) {
					require.NoError(t, err)
					return
				}
			}
		})
	}
	g.Wait()
	list := f.versions(t, a.ID, 0, 10)
	require.Len(t, list, 6)
	for i, v := range list {
		require.Equal(t, 6-i, v.Version)
		stored, err := f.AgentVersion(t.Context(), ada, a.ID, v.Version)
		require.NoError(t, err)
		require.EqualValues(t, v.Version-1, stored.Budget.MaxTokens)
	}
}

// An agent that was stored before there were versions is its version 1, also after its first change.
func TestAgentFromBeforeVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	old := agent.Agent{ID: id.New(id.Agent), Tenant: ada, Name: "old", CreatedAt: time.Unix(1, 0).UTC(), UpdatedAt: time.Unix(2, 0).UTC()}
	_, err := f.agentDoc(ada, old.ID).Create(t.Context(), old)
	require.NoError(t, err)
	old.Version = 1
	got, err := f.AgentVersion(t.Context(), ada, old.ID, 1)
	require.NoError(t, err)
	require.Equal(t, old, got)
	require.Equal(t, []agent.VersionInfo{{Version: 1, UpdatedAt: old.UpdatedAt}}, f.versions(t, old.ID, 0, 10))
	require.Empty(t, f.versions(t, old.ID, 1, 10))
	ch, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: old.ID, AgentVersion: 1, Input: "x"})
	require.NoError(t, err)
	require.Equal(t, 1, ch.Execution.AgentVersion)

	f.updateAgent(t, old, func(a *agent.Agent) { a.Name = "new" })
	require.Len(t, f.versions(t, old.ID, 0, 10), 2)
	got, err = f.AgentVersion(t.Context(), ada, old.ID, 1)
	require.NoError(t, err)
	require.Equal(t, old, got)
}

// A run, a turn and a batch use the newest version, or the one that they name, and so do their retries.
func TestVersionIsFixedAtAcceptance(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := f.createAgent(t, ada)
	f.updateAgent(t, a, func(a *agent.Agent) { a.Instructions, a.Settings.MaxTurns = "second", 3 })
	newest, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	require.Equal(t, 2, newest.Execution.AgentVersion)
	require.True(t, newest.Execution.Task.HasSettings)
	for pinned, want := range map[int]struct {
		instructions string
		settings     bool
	}{1: {a.Instructions, false}, 2: {"second", true}} {
		check := func(e execution.Execution) {
			t.Helper()
			require.Equal(t, pinned, e.AgentVersion)
			require.Equal(t, want.instructions, e.Task.Instructions)
			require.Equal(t, want.settings, e.Task.HasSettings)
		}
		run, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, AgentVersion: pinned, Input: "x"})
		require.NoError(t, err)
		check(f.getExecution(t, run.Execution.Ref()))
		f.mustApply(t, run.Execution.Ref(), execution.CancelRequested{})
		f.updateAgent(t, a, func(a *agent.Agent) { a.Budget.MaxTokens++ })
		retry, err := f.Retry(t.Context(), run.Execution.Ref(), nil, nil)
		require.NoError(t, err)
		check(f.getExecution(t, retry.Execution.Ref()))

		turn, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, AgentID: a.ID, AgentVersion: pinned, Message: "x"})
		require.NoError(t, err)
		check(f.getExecution(t, turn.Execution.Ref()))
		b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: a.ID, AgentVersion: pinned}
		w := f.NewBatchInputWriter(b.Ref())
		require.NoError(t, w.Add(t.Context(), batch.Input{Text: "x"}))
		require.NoError(t, w.Flush(t.Context()))
		b.Total = 1
		require.NoError(t, f.SubmitBatch(t.Context(), &b, nil))
		_, created, err := f.DispatchBatch(t.Context(), b.Ref())
		require.NoError(t, err)
		check(f.getExecution(t, created[0]))
	}
	missing := &NotFoundError{Resource: "agent version", ID: "99"}
	_, err = f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, AgentVersion: 99, Input: "x"})
	require.Equal(t, missing, err)
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, AgentID: a.ID, AgentVersion: 99, Message: "x"})
	require.Equal(t, missing, err)
	_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, AgentVersion: 99, Message: "x"})
	require.Equal(t, missing, err, "the agent builder has no versions")
}

// The versions of a deleted agent stay as long as it has executions, which may be retried.
func TestExpiredAgents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: ada, Name: "A", Settings: agent.Settings{MaxTurns: 3}}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	run, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	require.NoError(t, f.DeleteAgent(t.Context(), ada, a.ID))
	_, err = f.AgentVersion(t.Context(), ada, a.ID, 1)
	require.Equal(t, &NotFoundError{Resource: "agent", ID: a.ID}, err)
	_, err = f.AgentVersions(t.Context(), ada, a.ID, 0, 1)
	require.Equal(t, &NotFoundError{Resource: "agent", ID: a.ID}, err)
	settings, err := f.AgentSettings(t.Context(), ada, a.ID, 1)
	require.NoError(t, err)
	require.Equal(t, a.Settings, settings, "for the execution")

	require.Zero(t, f.purge(t, f.ExpiredAgents, nil), "too young")
	f.clock.Advance(2 * retention)
	require.Equal(t, 1, f.purge(t, f.ExpiredAgents, nil))
	_, err = f.AgentSettings(t.Context(), ada, a.ID, 1)
	require.NoError(t, err, "it has an execution")
	_, err = f.executionDoc(run.Execution.Ref()).Delete(t.Context())
	require.NoError(t, err)
	require.Equal(t, 1, f.purge(t, f.ExpiredAgents, nil))
	_, err = f.AgentSettings(t.Context(), ada, a.ID, 1)
	require.Equal(t, &NotFoundError{Resource: "agent version", ID: "1"}, err)
	require.Zero(t, f.purge(t, f.ExpiredAgents, nil))
}
