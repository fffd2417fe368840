package executor

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

// settingsStore counts the reads of settings.
type settingsStore struct {
	TaskStore
	reads int
	err   error
}

func (s *settingsStore) AgentSettings(_ context.Context, tenant, agentID string, version int) (agent.Settings, error) {
	s.reads++
	return agent.Settings{MaxTurns: version, Effort: agent.Effort(tenant + agentID)}, s.err
}

func TestSettingsOfAVersionAreReadOnce(t *testing.T) {
	tasks := &settingsStore{err: store.ErrUnavailable}
	c := newVersionCache(tasks.AgentSettings)
	one := versionRef{"ada", "agt_1", 1}
	_, err := c.get(t.Context(), one)
	require.ErrorIs(t, err, store.ErrUnavailable)
	tasks.err = &store.NotFoundError{Resource: "agent version", ID: "1"}
	_, err = c.get(t.Context(), one)
	require.ErrorIs(t, err, errNoVersion)
	tasks.err = nil
	for range 3 {
		settings, err := c.get(t.Context(), one)
		require.NoError(t, err)
		require.Equal(t, 1, settings.MaxTurns)
	}
	require.Equal(t, 3, tasks.reads, "an error is not remembered")
	for _, other := range []versionRef{{"bob", "agt_1", 1}, {"ada", "agt_2", 1}, {"ada", "agt_1", 2}} {
		settings, err := c.get(t.Context(), other)
		require.NoError(t, err)
		require.Equal(t, agent.Settings{MaxTurns: other.version, Effort: agent.Effort(other.tenant + other.id)}, settings)
	}
	require.Equal(t, 6, tasks.reads)
}

// An execution runs with the version that it was accepted with, also if the agent was changed and deleted since.
func TestJobHasSettingsOfItsVersion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute, Settings: agent.Settings{Env: map[string]string{"CITY": "Bern"}}}
	require.NoError(t, f.store.CreateAgent(t.Context(), &a, nil))
	submit := func() execution.Ref {
		t.Helper()
		ch, err := f.store.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, AgentVersion: 1, Input: "x"})
		require.NoError(t, err)
		require.NoError(t, f.queue.Publish(t.Context(), ch))
		return ch.Execution.Ref()
	}
	ref := submit()
	_, err := f.store.UpdateAgent(t.Context(), tenant, a.ID, func(a agent.Agent) (agent.Agent, error) {
		a.Settings.Env = map[string]string{"CITY": "Rome"}
		return a, nil
	})
	require.NoError(t, err)
	require.NoError(t, f.store.DeleteAgent(t.Context(), tenant, a.ID))
	f.run(testConfig(), b)
	require.Contains(t, next(t, b.started).Env, "CITY=Bern")
	require.Equal(t, 1, f.await(ref, execution.Succeeded).AgentVersion)
}

func TestVersionThatDoesNotExistFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a := agent.Agent{Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute, Settings: agent.Settings{Env: map[string]string{"A": "b"}}}
	require.NoError(t, f.store.CreateAgent(t.Context(), &a, nil))
	ch, err := f.store.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	_, err = f.firestore.Client.Doc("tenants/" + tenant + "/agents/" + a.ID + "/versions/1").Delete(t.Context())
	require.NoError(t, err)
	require.NoError(t, f.queue.Publish(t.Context(), ch))
	f.run(testConfig(), answeringSandbox("done"))
	require.Equal(t, execution.CodeInvalidTask, f.await(ch.Execution.Ref(), execution.Failed).Failure.Code)
}

// A job has the network and the variables of its environment, in the version of its acceptance. The agent's own
// variables go before those of the environment.
func TestJobHasItsEnvironment(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	b := answeringSandbox("done")
	env := environment.Environment{
		Tenant: tenant, Name: "E", Network: environment.Network{Mode: environment.Limited, Hosts: []string{"api.example.com:8443"}},
		Variables: map[string]string{"CITY": "Bern", "STAGE": "test"},
	}
	require.NoError(t, f.store.CreateEnvironment(t.Context(), &env, nil))
	a := agent.Agent{
		Tenant: tenant, Name: "A", Runtime: "offline", Timeout: time.Minute, EnvironmentID: env.ID,
		Settings: agent.Settings{Env: map[string]string{"CITY": "Rome"}},
	}
	require.NoError(t, f.store.CreateAgent(t.Context(), &a, nil))
	ch, err := f.store.SubmitRun(t.Context(), store.RunRequest{Tenant: tenant, AgentID: a.ID, Input: "x"})
	require.NoError(t, err)
	_, err = f.store.UpdateEnvironment(t.Context(), tenant, env.ID, func(e environment.Environment) (environment.Environment, error) {
		e.Network, e.Variables = environment.Network{}, nil
		return e, nil
	})
	require.NoError(t, err)
	require.NoError(t, f.queue.Publish(t.Context(), ch))
	f.run(testConfig(), b)
	job := next(t, b.started)
	require.Equal(t, []int{8443}, job.Network.Ports)
	require.Contains(t, job.Network.Notice, "api.example.com:8443")
	require.Contains(t, job.Env, "https_proxy="+sandbox.EgressURL)
	require.Contains(t, job.Env, "STAGE=test")
	require.Less(t, slices.Index(job.Env, "CITY=Bern"), slices.Index(job.Env, "CITY=Rome"))
	require.NotNil(t, job.Egress)
	require.NotNil(t, f.await(ch.Execution.Ref(), execution.Succeeded).Network)
}
