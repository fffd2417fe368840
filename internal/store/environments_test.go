package store

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/id"
)

func (f fixture) createEnvironment(t *testing.T, tenant string) environment.Environment {
	t.Helper()
	e := environment.Environment{
		Tenant: tenant, Name: "E", Network: environment.Network{Mode: environment.Limited, Hosts: []string{"a.example.com"}},
		Variables: map[string]string{"STAGE": "test"},
	}
	require.NoError(t, f.CreateEnvironment(t.Context(), &e, nil))
	return e
}

func (f fixture) updateEnvironment(t *testing.T, e environment.Environment, edit func(*environment.Environment)) environment.Environment {
	t.Helper()
	after, err := f.UpdateEnvironment(t.Context(), e.Tenant, e.ID, func(e environment.Environment) (environment.Environment, error) {
		edit(&e)
		return e, nil
	})
	require.NoError(t, err)
	return after
}

func TestEnvironmentsHaveVersions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.createEnvironment(t, ada)
	require.Equal(t, 1, first.Version)
	f.clock.Advance(time.Minute)
	require.Equal(t, first, f.updateEnvironment(t, first, func(e *environment.Environment) { e.Name = first.Name }), "nothing changes")
	second := f.updateEnvironment(t, first, func(e *environment.Environment) { e.Network = environment.Network{Mode: environment.Open} })
	require.Equal(t, 2, second.Version)
	require.True(t, second.UpdatedAt.After(first.UpdatedAt))
	for number, want := range map[int]environment.Environment{1: first, 2: second} {
		got, err := f.EnvironmentVersion(t.Context(), ada, first.ID, number)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	got, err := f.Environment(t.Context(), ada, first.ID)
	require.NoError(t, err)
	require.Equal(t, second, got)
	versions, err := f.EnvironmentVersions(t.Context(), ada, first.ID, 0, 10)
	require.NoError(t, err)
	require.Equal(t, []agent.VersionInfo{
		{Version: 2, Changed: []string{"network"}, UpdatedAt: second.UpdatedAt}, {Version: 1, UpdatedAt: first.UpdatedAt},
	}, versions)
	other := f.createEnvironment(t, ada)
	list, err := f.Environments(t.Context(), ada, Page{Limit: 10})
	require.NoError(t, err)
	require.ElementsMatch(t, []environment.Environment{other, second}, list)

	missing := &NotFoundError{Resource: "environment version", ID: "3"}
	_, err = f.EnvironmentVersion(t.Context(), ada, first.ID, 3)
	require.Equal(t, missing, err)
	missing = &NotFoundError{Resource: "environment", ID: first.ID}
	_, err = f.Environment(t.Context(), bob, first.ID)
	require.Equal(t, missing, err)
	_, err = f.EnvironmentVersions(t.Context(), bob, first.ID, 0, 10)
	require.Equal(t, missing, err)
	require.Equal(t, missing, f.DeleteEnvironment(t.Context(), bob, first.ID))
	_, err = f.EnvironmentVersion(t.Context(), bob, first.ID, 1)
	require.Equal(t, &NotFoundError{Resource: "environment version", ID: "1"}, err)
}

// A repeated request creates one environment, and gets it as it was.
func TestEnvironmentIsCreatedOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := environment.Environment{Tenant: ada, Name: "E"}
	require.NoError(t, f.CreateEnvironment(t.Context(), &first, idempotencyKey("k", "r")))
	var duplicate *DuplicateRequestError
	require.ErrorAs(t, f.CreateEnvironment(t.Context(), &environment.Environment{Tenant: ada, Name: "E"}, idempotencyKey("k", "r")), &duplicate)
	require.Equal(t, &first, duplicate.Created.Environment)
}

func (f fixture) submitBatchIn(t *testing.T, agentID string, named environment.VersionRef) (batch.Batch, error) {
	t.Helper()
	b := batch.Batch{ID: id.New(id.Batch), Tenant: ada, AgentID: agentID, Total: 1, Task: execution.Task{Environment: named}}
	w := f.NewBatchInputWriter(b.Ref())
	require.NoError(t, w.Add(t.Context(), batch.Input{Text: "x"}))
	require.NoError(t, w.Flush(t.Context()))
	return b, f.SubmitBatch(t.Context(), &b, nil)
}

// A run, a turn and a batch use the newest version of the environment that they or their agents name, and so do their
// retries, whatever becomes of the environment.
func TestEnvironmentIsFixedAtAcceptance(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ofAgent, other := f.createEnvironment(t, ada), f.createEnvironment(t, ada)
	other = f.updateEnvironment(t, other, func(e *environment.Environment) { e.Variables = nil })
	a := agent.Agent{Tenant: ada, Name: "A", EnvironmentID: ofAgent.ID}
	require.NoError(t, f.CreateAgent(t.Context(), &a, nil))
	cases := map[string]environment.VersionRef{"": {ID: ofAgent.ID, Version: 1}, other.ID: {ID: other.ID, Version: 2}}
	runs := map[string]execution.Ref{}
	for named, want := range cases {
		run, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, EnvironmentID: named, Input: "x"})
		require.NoError(t, err)
		require.Equal(t, want, f.getExecution(t, run.Execution.Ref()).Task.Environment)
		runs[named] = run.Execution.Ref()
		withKey, err := f.SubmitRun(t.Context(), RunRequest{
			Tenant: ada, AgentID: a.ID, EnvironmentID: named, Input: "x", IdempotencyKey: idempotencyKey(id.New(""), "r"),
		})
		require.NoError(t, err)
		require.Equal(t, want, f.getExecution(t, withKey.Execution.Ref()).Task.Environment)
		turn, err := f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, AgentID: a.ID, EnvironmentID: named, Message: "x"})
		require.NoError(t, err)
		require.Equal(t, want, f.getExecution(t, turn.Execution.Ref()).Task.Environment)
		b, err := f.submitBatchIn(t, a.ID, environment.VersionRef{ID: named})
		require.NoError(t, err)
		require.Equal(t, want, b.Task.Environment)
		_, created, err := f.DispatchBatch(t.Context(), b.Ref())
		require.NoError(t, err)
		require.Equal(t, want, f.getExecution(t, created[0]).Task.Environment)
	}
	for _, e := range []environment.Environment{ofAgent, other} {
		f.updateEnvironment(t, e, func(e *environment.Environment) { e.Description = "changed" })
		require.NoError(t, f.DeleteEnvironment(t.Context(), ada, e.ID))
	}
	for named, want := range cases {
		f.mustApply(t, runs[named], execution.CancelRequested{})
		retry, err := f.Retry(t.Context(), runs[named], nil, nil)
		require.NoError(t, err)
		require.Equal(t, want, f.getExecution(t, retry.Execution.Ref()).Task.Environment)
		b, err := f.submitBatchIn(t, a.ID, want)
		require.NoError(t, err)
		require.Equal(t, want, b.Task.Environment, "of a repeated batch")
		_, err = f.EnvironmentVersion(t.Context(), ada, want.ID, want.Version)
		require.NoError(t, err, "for the execution")
	}
}

func TestMissingEnvironmentIsRefused(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	plain, deleted, bobs := f.createAgent(t, ada), f.createEnvironment(t, ada), f.createEnvironment(t, bob)
	require.NoError(t, f.DeleteEnvironment(t.Context(), ada, deleted.ID))
	for _, environmentID := range []string{id.New(id.Environment), deleted.ID, bobs.ID} {
		ofAgent := agent.Agent{Tenant: ada, Name: "A", EnvironmentID: environmentID}
		require.NoError(t, f.CreateAgent(t.Context(), &ofAgent, nil))
		want := &MissingEnvironmentError{ID: environmentID, OfAgent: true}
		_, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: ofAgent.ID, Input: "x"})
		require.Equal(t, want, err)
		want.OfAgent = false
		_, err = f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: plain.ID, EnvironmentID: environmentID, Input: "x"})
		require.Equal(t, want, err)
		_, err = f.SubmitTurn(t.Context(), TurnRequest{Tenant: ada, EnvironmentID: environmentID, Message: "x"})
		require.Equal(t, want, err, "of the builder")
		_, err = f.submitBatchIn(t, plain.ID, environment.VersionRef{ID: environmentID})
		require.Equal(t, want, err)
	}
}

// The versions of a deleted environment stay as long as it has executions or batches, which may be retried.
func TestExpiredEnvironments(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	a, e := f.createAgent(t, ada), f.createEnvironment(t, ada)
	run, err := f.SubmitRun(t.Context(), RunRequest{Tenant: ada, AgentID: a.ID, EnvironmentID: e.ID, Input: "x"})
	require.NoError(t, err)
	b, err := f.submitBatchIn(t, a.ID, environment.VersionRef{ID: e.ID})
	require.NoError(t, err)
	require.NoError(t, f.DeleteEnvironment(t.Context(), ada, e.ID))
	require.Zero(t, f.purge(t, f.ExpiredEnvironments, nil), "too young")
	f.clock.Advance(2 * retention)
	for _, doc := range []string{f.executionDoc(run.Execution.Ref()).Path, f.batchDoc(b.Ref()).Path} {
		require.Equal(t, 1, f.purge(t, f.ExpiredEnvironments, nil))
		_, err = f.EnvironmentVersion(t.Context(), ada, e.ID, 1)
		require.NoError(t, err, "it is used")
		_, path, _ := strings.Cut(doc, "/documents/")
		_, err = f.client.Doc(path).Delete(t.Context())
		require.NoError(t, err)
	}
	require.Equal(t, 1, f.purge(t, f.ExpiredEnvironments, nil))
	_, err = f.EnvironmentVersion(t.Context(), ada, e.ID, 1)
	require.Equal(t, &NotFoundError{Resource: "environment version", ID: "1"}, err)
	require.Zero(t, f.purge(t, f.ExpiredEnvironments, nil))
}
