package client_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
)

func TestEnvironments(t *testing.T) {
	a := startTestServer(t)
	ctx := t.Context()
	created, err := a.CreateEnvironment(ctx, client.CreateEnvironment{Name: "E", Variables: map[string]string{"A": "b", "C": "d"}})
	require.NoError(t, err)
	require.Equal(t, client.NetworkNone, created.Network.Mode)
	changed, err := a.UpdateEnvironment(ctx, created.Id, client.Patch{"variables": map[string]any{"A": nil}})
	require.NoError(t, err)
	require.Equal(t, client.Variables{"C": "d"}, changed.Variables)
	read, err := a.Environment(ctx, created.Id)
	require.NoError(t, err)
	require.Equal(t, changed, read)
	first, err := a.EnvironmentVersion(ctx, created.Id, 1)
	require.NoError(t, err)
	require.Equal(t, created, first)
	var versions []int
	for v, err := range a.EnvironmentVersions(ctx, created.Id) {
		require.NoError(t, err)
		versions = append(versions, v.Version)
	}
	require.Equal(t, []int{2, 1}, versions)
	for e, err := range a.Environments(ctx) {
		require.NoError(t, err)
		require.Equal(t, changed, e)
	}
	_, err = a.CreateEnvironment(ctx, client.CreateEnvironment{Name: "E", Network: client.Network{Mode: client.NetworkOpen}})
	var p *client.Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "network.mode", p.Errors[0].Field, "the operator allows no host")

	agent, err := a.CreateAgent(ctx, counterAgent)
	require.NoError(t, err)
	b, err := a.SubmitBatchWith(ctx, agent.Id, client.BatchOptions{AgentVersion: 1, EnvironmentID: created.Id}, strings.NewReader("\"x\"\n"))
	require.NoError(t, err)
	require.Equal(t, client.EnvironmentRef{Id: created.Id, Version: 2}, b.Environment)
	require.NoError(t, a.DeleteEnvironment(ctx, created.Id))
	_, err = a.Environment(ctx, created.Id)
	require.True(t, client.IsNotFound(err))
}
