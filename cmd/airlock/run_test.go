package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// fakeAPI is a server that returns what the test says and records its requests.
type fakeAPI struct {
	*httptest.Server
	mu                sync.Mutex
	requests          []string // "METHOD PATH BODY"
	lastAuthorization string   // the header of the newest request
}

// startFakeAPI serves each route, such as "GET /agents", with its answers in turn; the last one is repeated. A
// contract.Problem sets the status of its answer.
func startFakeAPI(t *testing.T, routes map[string][]any) *fakeAPI {
	t.Helper()
	a := new(fakeAPI)
	mux := http.NewServeMux()
	for route, answers := range routes {
		mux.HandleFunc(route, func(w http.ResponseWriter, r *http.Request) {
			a.mu.Lock()
			defer a.mu.Unlock()
			body, _ := io.ReadAll(r.Body) // the test checks the body
			a.lastAuthorization = r.Header.Get("Authorization")
			a.requests = append(a.requests, strings.TrimSpace(r.Method+" "+r.URL.RequestURI()+" "+string(body)))
			answer := answers[0]
			if len(answers) > 1 {
				answers = answers[1:]
			}
			switch answer := answer.(type) {
			case contract.Problem:
				w.WriteHeader(answer.Status)
			case string:
				_, _ = io.WriteString(w, answer)
				return
			}
			_ = json.NewEncoder(w).Encode(answer)
		})
	}
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	return a
}

// runCLI runs a command line as main does.
func runCLI(t *testing.T, stdin string, args ...string) (code int, stdoutText, stderrText string) {
	t.Helper()
	cmd := rootCommand()
	var stdout, stderr bytes.Buffer
	cmd.SetArgs(args)
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&stdout)
	cmd.SetErr(&stderr)
	if err := cmd.ExecuteContext(t.Context()); err != nil {
		code = exitCode(err)
		stderr.WriteString(err.Error())
	}
	return code, stdout.String(), stderr.String()
}

var accepted = contract.AcceptedExecution{ExecutionId: "exe_1", Status: contract.StatusQueued, Urls: contract.ExecutionURLs{Self: "/executions/exe_1"}}

func TestRunWaitPrintsResult(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{
		"POST /api/conversation": {accepted},
		"GET /executions/exe_1": {
			contract.Execution{Id: "exe_1", Status: contract.StatusQueued}, contract.Execution{Id: "exe_1", Status: contract.StatusRunning},
			contract.Execution{Id: "exe_1", Status: contract.StatusSucceeded, Result: contract.Result{Text: "hi"}},
		},
	})
	code, out, stderr := runCLI(t, "", "run", "--server", a.URL, "--wait", "hello")
	require.Zero(t, code, stderr)
	require.Equal(t, "hi\n", out, "only the result, for pipes")
	require.Contains(t, stderr, "exe_1")
	const poll = "GET /executions/exe_1?wait=30s"
	require.Equal(t, []string{`POST /api/conversation {"message":"hello"}`, poll, poll, poll}, a.requests)
}

func TestRunWithoutWaitPrintsID(t *testing.T) {
	a := startFakeAPI(t, map[string][]any{"POST /api/conversation": {accepted}})
	code, out, _ := runCLI(t, "from standard input", "run", "--server", a.URL+"/", "-")
	require.Zero(t, code)
	require.Equal(t, "exe_1\n", out)
	require.Equal(t, []string{`POST /api/conversation {"message":"from standard input"}`}, a.requests)
}

func TestRunResolvesAgentByNameOrID(t *testing.T) {
	list := contract.AgentList{Agents: []contract.Agent{{Id: "agt_1", Name: "One"}, {Id: "agt_2", Name: "Two"}, {Id: "agt_3", Name: "Two"}, {Id: "agt_4", Name: "agt_1"}}}
	for name, tc := range map[string]struct {
		agent string
		code  int
		runs  string
		says  string
	}{
		"by name":                   {"One", 0, "agt_1", ""},
		"by ID":                     {"agt_2", 0, "agt_2", ""},
		"an ID that is also a name": {"agt_1", 0, "agt_1", ""},
		"by an unknown name":        {"Three", exitFailed, "", `"Three"`},
		"by the name of two":        {"Two", exitFailed, "", "agt_2 agt_3"},
	} {
		t.Run(name, func(t *testing.T) {
			a := startFakeAPI(t, map[string][]any{
				"GET /agents": {list}, "GET /agents/agt_1": {list.Agents[0]}, "GET /agents/agt_2": {list.Agents[1]}, "POST /agents/{id}/run": {accepted},
			})
			code, _, stderr := runCLI(t, "", "run", "--server", a.URL, "--agent", tc.agent, "x")
			require.Equal(t, tc.code, code)
			require.Contains(t, stderr, tc.says)
			if tc.runs != "" {
				require.Equal(t, "POST /agents/"+tc.runs+`/run {"input":"x"}`, a.requests[len(a.requests)-1])
			} else {
				require.Len(t, a.requests, 1, "no run is submitted")
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	problem := contract.Problem{Status: http.StatusBadRequest, Code: "invalid_request", Detail: "message is empty"}
	failed := contract.Execution{Id: "exe_1", Status: contract.StatusFailed, Error: contract.Failure{Code: contract.FailureCodeAgentError, Message: "it broke"}}
	failing := startFakeAPI(t, map[string][]any{"POST /api/conversation": {accepted}, "GET /executions/exe_1": {failed}})
	refusing := startFakeAPI(t, map[string][]any{"POST /api/conversation": {problem}})
	notJSON := startFakeAPI(t, map[string][]any{"POST /api/conversation": {"<html>"}})
	unknownExecution := startFakeAPI(t, map[string][]any{"POST /api/conversation": {accepted}})
	stopped := startFakeAPI(t, nil)
	stopped.Close()
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"a failed execution":          {[]string{"run", "--server", failing.URL, "--wait", "x"}, exitFailed, "it broke (agent_error)"},
		"a refused request":           {[]string{"run", "--server", refusing.URL, "x"}, exitFailed, "message is empty (invalid_request)"},
		"an answer without JSON":      {[]string{"run", "--server", notJSON.URL, "x"}, exitFailed, "invalid"},
		"an unknown route":            {[]string{"run", "--server", failing.URL, "--agent", "A", "x"}, exitFailed, "404"},
		"lost while waiting":          {[]string{"run", "--server", unknownExecution.URL, "--wait", "x"}, exitFailed, "exe_1 continues on the server"},
		"no server":                   {[]string{"run", "--server", stopped.URL, "x"}, exitUnreachable, "cannot reach the server"},
		"an invalid server URL":       {[]string{"run", "--server", "http://a b", "x"}, exitUsage, "--server"},
		"a server URL without scheme": {[]string{"run", "--server", "localhost:8000", "x"}, exitUsage, "--server"},
		"no prompt":                   {[]string{"run"}, exitUsage, "--help"},
		"two prompts":                 {[]string{"run", "a", "b"}, exitUsage, "--help"},
		"an unknown flag":             {[]string{"run", "--nothing", "x"}, exitUsage, "--help"},
		"an unknown command":          {[]string{"fly"}, exitUsage, "fly"},
		"dev with an argument":        {[]string{"dev", "x"}, exitUsage, "--help"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, stderr := runCLI(t, "", tc.args...)
			require.Equal(t, tc.code, code, stderr)
			require.Contains(t, stderr, tc.says)
			require.Empty(t, out)
		})
	}
	code, out, _ := runCLI(t, "")
	require.Zero(t, code)
	require.Contains(t, out, "Usage:")
}

func TestExitCodeOfOtherErrors(t *testing.T) {
	require.Equal(t, exitFailed, exitCode(errors.New("disk full")))
}
