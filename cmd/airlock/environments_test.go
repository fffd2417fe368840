package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
)

func TestEnvironmentCommands(t *testing.T) {
	e := client.Environment{
		Id: "env_1", Name: "One", Version: 2, Variables: map[string]string{"STAGE": "test"},
		Network: client.Network{Mode: client.NetworkLimited, Hosts: []string{"a.example.com"}, Packages: true},
	}
	a := startFakeAPI(t, map[string][]any{
		"POST /environments": {e}, "GET /environments": {client.EnvironmentList{Environments: []client.Environment{e}}},
		"GET /environments/env_1": {e}, "PATCH /environments/env_1": {e}, "DELETE /environments/env_1": {e},
		"GET /environments/env_1/versions":   {client.EnvironmentVersionList{Versions: []client.EnvironmentVersion{{Version: 2, Changed: []string{"network"}}, {Version: 1}}}},
		"GET /environments/env_1/versions/1": {e},
	})
	last := func() string { return a.requests[len(a.requests)-1] }
	run := func(args ...string) string {
		t.Helper()
		code, out, stderr := runCLI(t, "", append(append([]string{"environments"}, args...), "--server", a.URL)...)
		require.Zero(t, code, stderr)
		return out
	}
	require.Equal(t, "env_1\n", run("create", "--name", "One", "--network", "limited", "--host", "a.example.com", "--host", "*.example.org:8443", "--packages", "--var", "STAGE=test"))
	require.Equal(t, `POST /environments {"name":"One","network":{"hosts":["a.example.com","*.example.org:8443"],"mode":"limited","packages":true},"variables":{"STAGE":"test"}}`, last())
	run("create", "--name", "One")
	require.Equal(t, `POST /environments {"name":"One","network":{"mode":"none"}}`, last())
	run("create", "--name", "One", "--packages")
	require.Equal(t, `POST /environments {"name":"One","network":{"mode":"limited","packages":true}}`, last(), "registries need a network")

	require.Regexp(t, `env_1 +One +limited: packages, a.example.com +1`, run("list"))
	require.Contains(t, run("get", "One"), "STAGE=test")
	run("get", "env_1", "--version", "1")
	require.Equal(t, "GET /environments/env_1/versions/1", last())
	require.Regexp(t, `(?m)^2 .* network$`, run("versions", "env_1"))

	for _, tc := range []struct{ flags, patch string }{
		{"--description=", `{"description":null}`},
		{"--network=none", `{"network":null}`},
		{"--network=open", `{"network":{"mode":"open"}}`},
		{"--host=", `{"network":{"hosts":[]}}`},
		{"--packages=false", `{"network":{"packages":false}}`},
		{"--var=A=b", `{"variables":{"A":"b"}}`},
		{"--unset=A", `{"variables":{"A":null}}`},
	} {
		run("update", "env_1", tc.flags)
		require.Equal(t, "PATCH /environments/env_1 "+tc.patch, last())
	}
	run("update", "env_1", "--name", "Two", "--if-version", "2")
	require.Equal(t, `PATCH /environments/env_1 {"name":"Two","version":2}`, last())
	run("delete", "env_1")
	require.Equal(t, "DELETE /environments/env_1", last())
	code, _, _ := runCLI(t, "", "environments", "update", "env_1", "--server", a.URL)
	require.Equal(t, exitUsage, code)
	code, _, stderr := runCLI(t, "", "environments", "get", "Nine", "--server", a.URL)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, `there is no environment "Nine"`)
}

// Agents, runs, messages and batches name an environment by its name.
func TestWorkNamesEnvironment(t *testing.T) {
	agent := client.Agent{Id: "agt_1", Name: "A", Conversations: true}
	a := startFakeAPI(t, map[string][]any{
		"GET /environments": {client.EnvironmentList{Environments: []client.Environment{{Id: "env_1", Name: "One"}}}},
		"GET /agents/agt_1": {agent}, "POST /agents": {agent}, "PATCH /agents/agt_1": {agent},
		"POST /agents/agt_1/run": {client.AcceptedExecution{ExecutionId: "exe_1"}}, "POST /api/conversation": {client.AcceptedExecution{ExecutionId: "exe_1"}},
		"POST /agents/agt_1/batches": {client.Batch{Id: "bat_1"}},
	})
	for _, tc := range []struct {
		args    []string
		request string
	}{
		{[]string{"agents", "create", "--name", "A", "--instructions", "i"}, `POST /agents {"environmentId":"env_1","instructions":"i","name":"A"}`},
		{[]string{"agents", "edit", "agt_1"}, `PATCH /agents/agt_1 {"environmentId":"env_1"}`},
		{[]string{"run", "--agent", "agt_1", "x"}, `POST /agents/agt_1/run {"environmentId":"env_1","input":"x"}`},
		{[]string{"run", "x"}, `POST /api/conversation {"environmentId":"env_1","message":"x"}`},
		{[]string{"batch", "submit", "-", "--agent", "agt_1"}, `POST /agents/agt_1/batches?environmentId=env_1 "x"`},
	} {
		code, _, stderr := runCLI(t, `"x"`, append(tc.args, "--environment", "One", "--server", a.URL)...)
		require.Zero(t, code, stderr)
		require.Equal(t, tc.request, a.requests[len(a.requests)-1])
	}
	code, _, stderr := runCLI(t, "", "agents", "edit", "agt_1", "--environment", "", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Equal(t, `PATCH /agents/agt_1 {"environmentId":null}`, a.requests[len(a.requests)-1])
	code, _, stderr = runCLI(t, "", "run", "x", "--environment", "Nine", "--server", a.URL)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, `there is no environment "Nine"`)
}

// An execution shows with whom it exchanged data, and whom it did not reach.
func TestNetworkOfExecution(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{"GET /executions/exe_1": {client.Execution{Id: "exe_1", Network: client.NetworkUse{
		Hosts: []client.HostUse{{Host: "pypi.org", Connections: 2, SentBytes: 10, ReceivedBytes: 20}}, Refused: []string{"evil.example.org:443"},
	}}}})
	code, out, stderr := runCLI(t, "", "executions", "get", "exe_1", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^Network +pypi\.org: 2 connections, 10 bytes sent, 20 received$`, out)
	require.Regexp(t, `(?m)^Refused +evil\.example\.org:443$`, out)
}
