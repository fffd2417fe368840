package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/api/contract"
)

func TestListOutputTableOrJSON(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{
		"GET /agents": {
			client.AgentList{Agents: []client.Agent{{Id: "agt_1", Name: "One", Runtime: "offline"}}, NextCursor: "more"},
			client.AgentList{Agents: []client.Agent{{Id: "agt_2", Name: strings.Repeat("long\n", 20), Model: "m"}}},
		},
		"GET /executions": {client.ExecutionList{Executions: []client.Execution{{Id: "exe_2"}, {Id: "exe_1", Status: client.StatusFailed}}, NextCursor: "more"}},
	})
	code, out, stderr := runCLI(t, "", "agents", "list", "--server", a.URL)
	require.Zero(t, code, stderr)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	require.Len(t, lines, 3, "one line each, also with line breaks in the names")
	require.Regexp(t, `^ID +NAME +RUNTIME`, lines[0])
	require.Regexp(t, `^agt_1 +One +offline +-`, lines[1])
	require.Equal(t, []string{"GET /agents?limit=100", "GET /agents?cursor=more&limit=100"}, a.requests)

	code, out, _ = runCLI(t, "", "executions", "list", "--server", a.URL, "--json", "--limit", "2", "--status", "failed", "--label", "a=b")
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(out, "\n"))
	require.True(t, strings.HasPrefix(out, `{"`), out)
	require.Equal(t, "GET /executions?label=a%3Db&limit=100&status=failed", a.requests[2])
	require.Len(t, a.requests, 3, "the limit needs no second page")
}

func TestAgentCommands(t *testing.T) {
	agent := client.Agent{
		Id: "agt_1", Name: "One", Instructions: "Count", DailyBudget: client.DailyBudget{Usd: 2.5}, Retry: client.RetryPolicy{MaxAttempts: 3},
	}
	a := startFakeAPI(t, map[string][]any{
		"POST /agents": {agent}, "GET /agents/agt_1": {agent}, "PATCH /agents/agt_1": {agent}, "DELETE /agents/agt_1": {agent},
	})
	code, out, stderr := runCLI(t, "Count\n", "agents", "create", "--server", a.URL, "--name", "One", "--instructions", "-", "--max-tokens", "7", "--transcript-retention", "0s")
	require.Zero(t, code, stderr)
	require.Equal(t, "agt_1\n", out)
	require.Equal(t, `POST /agents {"budget":{"maxTokens":7},"instructions":"Count\n","name":"One","transcriptRetention":"0s"}`, a.requests[0])

	code, out, stderr = runCLI(t, "", "agents", "edit", "agt_1", "--server", a.URL, "--name", "Two", "--model", "", "--max-cost", "0", "--transcript-retention", "")
	require.Zero(t, code, stderr)
	require.Contains(t, out, "agt_1")
	require.Equal(t, `PATCH /agents/agt_1 {"budget":{"maxCostUsd":null},"model":null,"name":"Two","transcriptRetention":null}`, a.requests[2])

	code, _, stderr = runCLI(t, "", "agents", "edit", "agt_1", "--server", a.URL)
	require.Equal(t, exitUsage, code, stderr)
	code, _, stderr = runCLI(t, "", "agents", "delete", "agt_1", "--server", a.URL)
	require.Zero(t, code, stderr)
	code, out, _ = runCLI(t, "", "agents", "get", "agt_1", "--server", a.URL)
	require.Zero(t, code)
	require.Contains(t, out, "Count")
	require.Regexp(t, `(?m)^Daily budget +2\.5 USD$`, out)
	require.Regexp(t, `(?m)^Attempts +at most 3$`, out)
}

func TestKeyCommands(t *testing.T) {
	k := client.APIKey{Id: "key_1", Name: "ci", Scopes: []client.Scope{"read", "run"}}
	a := startFakeAPI(t, map[string][]any{
		"POST /keys": {client.IssuedAPIKey{Key: k, Secret: "alk_1"}}, "GET /keys": {client.APIKeyList{Keys: []client.APIKey{k}}}, "DELETE /keys/key_1": {k},
	})
	code, out, stderr := runCLI(t, "", "keys", "create", "--server", a.URL, "--name", "ci", "--expires-in", "1h")
	require.Zero(t, code, stderr)
	require.Equal(t, "alk_1\n", out, "only the secret, for programs")
	require.Contains(t, stderr, "key_1")
	require.Equal(t, `POST /keys {"expiresIn":"1h","name":"ci","scopes":["read","run"]}`, a.requests[0])
	code, out, stderr = runCLI(t, "", "keys", "list", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Regexp(t, `key_1 +ci +read,run`, out)
	require.NotContains(t, out, "alk_")
	code, _, stderr = runCLI(t, "", "keys", "revoke", "key_1", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Equal(t, "DELETE /keys/key_1", a.requests[2])
}

func TestExecutionCommands(t *testing.T) {
	failed := client.Execution{Id: "exe_1", Status: client.StatusFailed, Error: client.Failure{Code: client.FailureCodeAgentError, Message: "it broke"}, Usage: client.Usage{OomKills: 2}, Labels: client.Labels{"a": "b"}}
	a := startFakeAPI(t, map[string][]any{
		"GET /executions/exe_1":         {client.Execution{Id: "exe_1", Status: client.StatusRunning}, failed},
		"POST /executions/exe_1/cancel": {client.Execution{Id: "exe_1", Status: client.StatusRunning, CancelRequested: true}},
		"POST /executions/exe_1/retry":  {client.AcceptedExecution{ExecutionId: "exe_2"}},
		"GET /executions/exe_1/attempts": {client.AttemptList{Omitted: 3, Attempts: []client.Attempt{
			{Number: 4, Executor: "host-1", Outcome: client.AttemptOutcomeStartFailed, Detail: "no image"},
			{Number: 5, Executor: "host-2", Outcome: client.AttemptOutcomeFailed, Code: client.FailureCodeAgentError, Usage: client.Usage{InputTokens: 7}},
			{Number: 6, Executor: "host-1", Outcome: client.AttemptOutcomeTimedOut, Code: client.FailureCodeTimedOut},
		}}},
	})
	code, out, stderr := runCLI(t, "", "executions", "get", "--wait", "exe_1", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Contains(t, out, "it broke (agent_error)")
	require.Contains(t, out, "a=b")
	require.Contains(t, out, "2 processes killed because of the memory limit")
	code, out, _ = runCLI(t, "", "executions", "cancel", "exe_1", "--server", a.URL)
	require.Zero(t, code)
	require.Equal(t, "exe_1 running\n", out)
	code, out, _ = runCLI(t, "", "executions", "retry", "exe_1", "--server", a.URL)
	require.Zero(t, code)
	require.Equal(t, "exe_2\n", out)
	code, out, _ = runCLI(t, "", "executions", "attempts", "exe_1", "--server", a.URL)
	require.Zero(t, code)
	require.Contains(t, out, "Older attempts that are not kept: 3")
	require.Regexp(t, `(?m)^4 +host-1 .* start_failed: no image +0 +0.0000$`, out)
	require.Regexp(t, `(?m)^5 +host-2 .* failed: agent_error +7 +0.0000$`, out)
	require.Regexp(t, `(?m)^6 +host-1 .* timed_out +0 `, out)
	code, out, _ = runCLI(t, "", "executions", "attempts", "exe_1", "--server", a.URL, "--json")
	require.Zero(t, code)
	require.Contains(t, out, `"outcome":"start_failed"`)
}

// What is left of a transcript is when it was deleted. The command says so and fails.
func TestDeletedTranscript(t *testing.T) {
	expires, deleted := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 30, 12, 1, 0, 0, time.UTC)
	gone := contract.Problem{Status: http.StatusGone, Title: "Gone", Code: contract.ProblemTranscriptDeleted, Detail: "The transcript was deleted at 2026-11-30T12:01:00Z."}
	a := startFakeAPI(t, map[string][]any{
		"GET /executions/exe_1":            {client.Execution{Id: "exe_1", TranscriptExpiresAt: expires}, client.Execution{Id: "exe_1", TranscriptDeletedAt: deleted}},
		"GET /executions/exe_1/transcript": {gone},
	})
	for _, says := range []string{"until " + formatTime(expires), "deleted " + formatTime(deleted)} {
		code, out, stderr := runCLI(t, "", "executions", "get", "exe_1", "--server", a.URL)
		require.Zero(t, code, stderr)
		require.Regexp(t, `(?m)^Transcript +`+says+`$`, out)
	}
	for _, args := range [][]string{{"exe_1"}, {"exe_1", "--follow"}, {"exe_1", "--json"}} {
		code, out, stderr := runCLI(t, "", append([]string{"executions", "transcript", "--server", a.URL}, args...)...)
		require.Equal(t, exitFailed, code)
		require.Empty(t, out)
		require.Contains(t, stderr, "The transcript was deleted at 2026-11-30T12:01:00Z. (transcript_deleted)")
	}
}

func TestChat(t *testing.T) {
	reply := func(r client.Result) client.Execution {
		return client.Execution{Id: "exe_1", Status: client.StatusSucceeded, Result: r}
	}
	a := startFakeAPI(t, map[string][]any{
		"POST /api/conversation": {client.AcceptedExecution{ExecutionId: "exe_1", ConversationId: "con_1"}},
		"GET /executions/exe_1": {
			reply(client.Result{Text: "hello"}),
			client.Execution{Id: "exe_1", Status: client.StatusFailed, Error: client.Failure{Code: client.FailureCodeModelError, Message: "no model"}},
			reply(client.Result{Text: "take this", AgentDraft: client.AgentDraft{Name: "Counter", Instructions: "Count"}}),
		},
		"POST /agents": {client.Agent{Id: "agt_1"}},
	})
	code, out, stderr := runCLI(t, "hi\n\n/create\nagain\nmake me one\n/create\n/quit\nnot sent\n", "chat", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Equal(t, "hello\ntake this\nagt_1\n", out, "only the replies, for pipes")
	require.Contains(t, stderr, "con_1")
	require.Contains(t, stderr, "No agent was proposed")
	require.Contains(t, stderr, "no model (model_error)")
	var posts []string
	for _, r := range a.requests {
		if strings.HasPrefix(r, "POST") {
			posts = append(posts, r)
		}
	}
	require.Equal(t, []string{
		`POST /api/conversation {"message":"hi"}`, `POST /api/conversation {"conversationId":"con_1","message":"again"}`,
		`POST /api/conversation {"conversationId":"con_1","message":"make me one"}`, `POST /agents {"instructions":"Count","name":"Counter"}`,
	}, posts)
}

// No message is asked for if none can be sent.
func TestChatWithAgentWithoutConversations(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{
		"GET /agents": {
			client.AgentList{Agents: []client.Agent{{Id: "agt_1", Name: "Upper", Runtime: "upper"}, {Id: "agt_2", Name: "Talker", Conversations: true}}},
		},
		"POST /api/conversation": {client.AcceptedExecution{ExecutionId: "exe_1", ConversationId: "con_1"}},
		"GET /executions/exe_1":  {client.Execution{Id: "exe_1", Status: client.StatusSucceeded, Result: client.Result{Text: "hello"}}},
	})
	code, _, stderr := runCLI(t, "hi\n", "chat", "--server", a.URL, "--agent", "Upper")
	require.NotZero(t, code)
	require.Contains(t, stderr, `its runtime "upper" does not pass earlier messages on`)
	code, out, stderr := runCLI(t, "hi\n/quit\n", "chat", "--server", a.URL, "--agent", "Talker")
	require.Zero(t, code, stderr)
	require.Equal(t, "hello\n", out)
}

func TestAPIKeyIsSent(t *testing.T) {
	t.Setenv("AIRLOCK_API_KEY", "alk_secret")
	a := startFakeAPI(t, map[string][]any{"POST /api/conversation": {accepted}})
	code, _, stderr := runCLI(t, "", "run", "--server", a.URL, "x")
	require.Zero(t, code, stderr)
	require.Equal(t, "Bearer alk_secret", a.lastAuthorization)

	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte("alk_of_a_file\n"), 0o600))
	t.Setenv("AIRLOCK_API_KEY_FILE", file)
	code, _, stderr = runCLI(t, "", "run", "--server", a.URL, "x")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "both set")
	t.Setenv("AIRLOCK_API_KEY", "")
	code, _, stderr = runCLI(t, "", "run", "--server", a.URL, "x")
	require.Zero(t, code, stderr)
	require.Equal(t, "Bearer alk_of_a_file", a.lastAuthorization)
}

// A misspelt AIRLOCK_URL would send the request to the default server.
func TestMisspeltVariableIsUsageError(t *testing.T) {
	t.Setenv("AIRLOCK_URLS", "http://example.com")
	code, _, stderr := runCLI(t, "", "agents", "list")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "did you mean AIRLOCK_URL?")
}

func TestAgentSettingsFromFilesAndFlags(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		t.Helper()
		name = filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
		return name
	}
	write("weather/SKILL.md", "Say it.")
	write("weather/data/a.bin", "\xff")
	schema := write("schema.json", `{"type": "object"}`)
	from := write("agent.yaml", "name: One\ninstructions: Count\nversion: 3\nid: agt_9\ntools: {allowed: [Read]}\nbudget: {maxTokens: 5}\nmcpServers: [{name: w, command: python3}]\n")
	a := startFakeAPI(t, map[string][]any{"POST /agents": {client.Agent{Id: "agt_1"}}})
	code, _, stderr := runCLI(t, "", "agents", "create", "--server", a.URL, "--from", from, "--name", "Two", "--schema", schema, "--max-turns", "3",
		"--effort", "high", "--env", "A=b", "--deny-tool", "Bash(rm *)", "--skill", filepath.Join(dir, "weather"), "--max-cost", "0.5")
	require.Zero(t, code, stderr)
	require.Equal(t, `POST /agents {"budget":{"maxCostUsd":0.5,"maxTokens":5},"effort":"high","env":{"A":"b"},"instructions":"Count","maxTurns":3,`+
		`"mcpServers":[{"command":"python3","name":"w"}],"name":"Two","schema":{"type":"object"},"skills":[{"files":[{"content":"Say it.","path":"SKILL.md"},`+
		`{"content":"/w==","encoding":"base64","path":"data/a.bin"}],"name":"weather"}],"tools":{"allowed":["Read"],"denied":["Bash(rm *)"]}}`, a.requests[0])

	for flag, value := range map[string]string{"--from": write("bad.yaml", "a: [b"), "--schema": write("bad.json", "{"), "--skill": filepath.Join(dir, "none")} {
		code, _, stderr = runCLI(t, "", "agents", "create", "--server", a.URL, flag, value)
		require.Equal(t, exitUsage, code)
		require.Contains(t, stderr, flag)
	}
	code, _, stderr = runCLI(t, "nme: One", "agents", "create", "--server", a.URL, "--from", "-")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, `unknown field "nme"`)
	require.Len(t, a.requests, 1)
}

func TestAgentVersionCommands(t *testing.T) {
	newest := client.Agent{
		Id: "agt_1", Name: "One", Instructions: "new", Version: 3, HasSettings: true, Env: client.Env{"A": "b", "C": "d"},
		Schema: client.AnswerSchema(`{"const":1,"title":"x"}`), Effort: "high", Tools: client.Tools{Denied: []string{"Bash"}},
	}
	first := client.Agent{Id: "agt_1", Name: "One", Instructions: "old", Version: 1, HasSettings: true, Env: client.Env{"A": "z"}, Schema: client.AnswerSchema(`{"const":null}`)}
	a := startFakeAPI(t, map[string][]any{
		"GET /agents/agt_1": {newest}, "GET /agents/agt_1/versions/1": {first}, "PATCH /agents/agt_1": {first},
		"GET /agents/agt_1/versions": {client.AgentVersionList{Versions: []client.AgentVersion{{Version: 2, Changed: []string{"name", "env"}}, {Version: 1}}}},
		"POST /agents/agt_1/run":     {client.AcceptedExecution{ExecutionId: "exe_1"}},
		"POST /agents/agt_1/batches": {client.Batch{Id: "bat_1"}},
	})
	code, out, stderr := runCLI(t, "", "agents", "versions", "agt_1", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Regexp(t, `(?m)^2 .* name,env$`, out)
	code, out, stderr = runCLI(t, "", "agents", "get", "agt_1", "--version", "1", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Contains(t, out, "old")

	last := func() string { return a.requests[len(a.requests)-1] }
	code, _, stderr = runCLI(t, "", "agents", "rollback", "agt_1", "1", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Equal(t, `PATCH /agents/agt_1 {"effort":null,"env":{"A":"z","C":null},"instructions":"old","schema":{"const":null},"tools":null,"version":3}`, last())
	code, _, stderr = runCLI(t, "", "agents", "edit", "agt_1", "--server", a.URL, "--name", "Two", "--if-version", "3")
	require.Zero(t, code, stderr)
	require.Equal(t, `PATCH /agents/agt_1 {"name":"Two","version":3}`, last())
	code, _, stderr = runCLI(t, "", "run", "--agent", "agt_1", "--agent-version", "2", "x", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Equal(t, `POST /agents/agt_1/run {"agentVersion":2,"input":"x"}`, last())
	code, _, stderr = runCLI(t, `"x"`, "batch", "submit", "-", "--agent", "agt_1", "--agent-version", "2", "--server", a.URL)
	require.Zero(t, code, stderr)
	require.Contains(t, last(), "POST /agents/agt_1/batches?agentVersion=2")
	for _, args := range [][]string{{"agents", "rollback", "agt_1", "x"}, {"run", "--agent-version", "2", "x"}} {
		code, _, _ = runCLI(t, "", append(args, "--server", a.URL)...)
		require.Equal(t, exitUsage, code)
	}
}
