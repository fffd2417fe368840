package agentruntime_test

import (
	"bytes"
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// fakeEgress is an egress with a fixed summary.
type fakeEgress struct{ summary gateway.Summary }

func (fakeEgress) Serve(net.Listener) error        { return nil }
func (fakeEgress) Busy() bool                      { return false }
func (s fakeEgress) Waited() time.Duration         { return s.summary.Waited }
func (fakeEgress) MaxWait() time.Duration          { return time.Hour }
func (fakeEgress) OnWait(func(int, time.Duration)) {}
func (fakeEgress) Close() error                    { return nil }
func (s fakeEgress) Summary() gateway.Summary      { return s.summary }

// claudeWithSummary returns a registry with the claude runtime and a gateway that has this summary.
func claudeWithSummary(s gateway.Summary) *agentruntime.Registry {
	r := claudeRuntime("image", nil)
	r.Unavailable = ""
	r.OpenEgress = func(context.Context, *execution.Execution, string, *forward.Door) agentruntime.Egress {
		return fakeEgress{s}
	}
	return agentruntime.NewRegistry(r)
}

func exitedOutcome(code int, stdout string) sandbox.Outcome {
	return sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: code, Stdout: []byte(stdout)}
}

// outOfMemoryChild is the outcome of an agent that went on after the kernel had killed a child.
func outOfMemoryChild(code int, stdout string) sandbox.Outcome {
	out := exitedOutcome(code, stdout)
	out.OOMKills = 1
	return out
}

const (
	good     = `{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"hi","stop_reason":"end_turn"}`
	refusal  = `{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"no","stop_reason":"refusal"}`
	noTurns  = `{"type":"result","subtype":"success","is_error":false,"num_turns":0,"result":"hi"}`
	noAnswer = `{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":""}`
	turns    = `{"type":"result","subtype":"error_max_turns","is_error":true,"num_turns":50}`
	ownError = `{"type":"result","subtype":"error_during_execution","is_error":true,"num_turns":2}`
	apiError = `{"type":"result","subtype":"success","is_error":true,"num_turns":1,"result":"API Error","api_error_status":`
	filled   = `{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"x","structured_output":{"reply":"x"}}`
	list     = `{"type":"result","subtype":"success","is_error":false,"num_turns":1,"result":"x","structured_output":[1]}`
)

func TestParseOutcome(t *testing.T) {
	for name, c := range map[string]struct {
		outcome sandbox.Outcome
		egress  gateway.Summary
		code    execution.Code // empty: success
		message string
	}{
		"success": {outcome: exitedOutcome(0, good)},

		"timed out":            {sandbox.Outcome{EndReason: sandbox.TimedOut, ExitCode: 137, Stdout: []byte(good)}, gateway.Summary{}, execution.CodeTimedOut, "longer than 1m0s"},
		"out of memory":        {sandbox.Outcome{EndReason: sandbox.OutOfMemory, Stdout: []byte(good)}, gateway.Summary{}, execution.CodeOutOfMemory, "1024 MiB"},
		"killed child, result": {outcome: outOfMemoryChild(0, good)},
		"killed child, none":   {outOfMemoryChild(0, ""), gateway.Summary{}, execution.CodeOutOfMemory, "1024 MiB"},
		"tampered":             {sandbox.Outcome{EndReason: sandbox.Tampered, Stdout: []byte(good)}, gateway.Summary{}, execution.CodeAgentError, "first process"},
		"output limit":         {sandbox.Outcome{EndReason: sandbox.OutputLimit}, gateway.Summary{}, execution.CodeOutputLimit, "more than 256 MiB"},
		"stopped":              {sandbox.Outcome{EndReason: sandbox.Stopped, Stdout: []byte(good)}, gateway.Summary{}, execution.CodeCanceled, "canceled"},
		"settled":              {outcome: sandbox.Outcome{EndReason: sandbox.Settled, ExitCode: 143, Stdout: []byte(good)}},
		"settled, error":       {sandbox.Outcome{EndReason: sandbox.Settled, ExitCode: 143, Stdout: []byte(ownError)}, gateway.Summary{}, execution.CodeAgentError, "error_during_execution"},
		"truncated":            {sandbox.Outcome{EndReason: sandbox.Exited, Truncated: true, Stdout: []byte(good[:20])}, gateway.Summary{}, execution.CodeOutputLimit, "more than 4194304 bytes"},

		"exit code, no result": {
			sandbox.Outcome{EndReason: sandbox.Exited, ExitCode: 3, Stderr: []byte("one\nboom \xff\n")}, gateway.Summary{},
			execution.CodeAgentError, "exited with code 3: boom \uFFFD",
		},
		"first and last error": {
			sandbox.Outcome{
				EndReason: sandbox.Exited, ExitCode: 3,
				Stderr: []byte("starting\nError: no such table\n at x\n at y\nTypeError: z is undefined\nsee the log\n"),
			}, gateway.Summary{},
			execution.CodeAgentError, "exited with code 3: Error: no such table … TypeError: z is undefined | see the log",
		},
		"exit code, good result": {exitedOutcome(1, good), gateway.Summary{}, execution.CodeAgentError, "exited with code 1"},
		"no result":              {exitedOutcome(0, ""), gateway.Summary{}, execution.CodeInvalidResult, "no result"},
		"two results":            {outcome: exitedOutcome(0, ownError+"\n"+good)},
		"two on one line":        {exitedOutcome(0, good+good), gateway.Summary{}, execution.CodeInvalidResult, "after its end"},
		"text after it":          {outcome: exitedOutcome(0, good+"\ndone")},
		"bad UTF-8":              {exitedOutcome(0, strings.Replace(good, "hi", "\xff", 1)), gateway.Summary{}, execution.CodeInvalidResult, "not UTF-8"},
		"10,000 deep": {
			exitedOutcome(0, strings.Replace(good, `"hi"`, strings.Repeat("[", 10_000)+strings.Repeat("]", 10_000), 1)), gateway.Summary{},
			execution.CodeInvalidResult, "128 nested levels",
		},
		"is_error twice": {
			exitedOutcome(0, strings.Replace(good, `"is_error":false`, `"is_error":true,"is_error":false`, 1)), gateway.Summary{},
			execution.CodeInvalidResult, "duplicate",
		},
		"is_error in other letters": {
			exitedOutcome(1, strings.Replace(ownError, `"is_error":true`, `"is_error":true,"Is_Error":false`, 1)), gateway.Summary{},
			execution.CodeAgentError, "error_during_execution",
		},
		"no turns":              {exitedOutcome(0, noTurns), gateway.Summary{}, execution.CodeInvalidResult, "without a request to its model"},
		"no answer":             {exitedOutcome(0, noAnswer), gateway.Summary{}, execution.CodeInvalidResult, "without an answer"},
		"too many turns":        {exitedOutcome(1, turns), gateway.Summary{}, execution.CodeAgentError, "within its maximum of 50 turns"},
		"the agent's own error": {exitedOutcome(1, ownError), gateway.Summary{}, execution.CodeAgentError, "error_during_execution"},

		"refusal, counted as an error": {
			exitedOutcome(1, strings.Replace(refusal, `"is_error":false`, `"is_error":true`, 1)), gateway.Summary{Calls: 1, LastStatus: 200},
			execution.CodeModelError, "declined",
		},
		"refusal": {exitedOutcome(0, refusal), gateway.Summary{}, execution.CodeModelError, "declined"},
		"401":     {exitedOutcome(1, apiError+"401}"), gateway.Summary{Calls: 3, LastStatus: 401}, execution.CodeModelError, "API key (status 401)"},
		"404":     {exitedOutcome(1, apiError+"404}"), gateway.Summary{Calls: 1, LastStatus: 404}, execution.CodeModelError, "does not know the model"},
		"413":     {exitedOutcome(1, apiError+"413}"), gateway.Summary{Calls: 1, LastStatus: 413}, execution.CodeModelError, "too large"},
		"529, after a wait": {
			exitedOutcome(1, apiError+"null}"), gateway.Summary{Calls: 1, LastStatus: 529, Waited: 899 * time.Second}, execution.CodeModelError,
			"overloaded (status 529); try again later; Airlock waited for it for 14m59s",
		},
		"out of time, after a wait": {
			sandbox.Outcome{EndReason: sandbox.TimedOut}, gateway.Summary{Calls: 1, LastStatus: 200, Waited: 20 * time.Second}, execution.CodeTimedOut,
			"the job ran longer than 1m0s, without the 20s in which it waited for its model",
		},
		"429":            {exitedOutcome(1, apiError+"429}"), gateway.Summary{Calls: 3, LastStatus: 429}, execution.CodeModelError, "status 429"},
		"500":            {exitedOutcome(1, apiError+"500}"), gateway.Summary{Calls: 3, LastStatus: 500}, execution.CodeModelError, "failed (status 500)"},
		"504":            {exitedOutcome(1, apiError+"504}"), gateway.Summary{Calls: 3, LastStatus: 504}, execution.CodeModelError, "in time"},
		"529, no status": {exitedOutcome(1, apiError+"null}"), gateway.Summary{Calls: 3, LastStatus: 529}, execution.CodeModelError, "overloaded (status 529)"},
		"unreachable":    {exitedOutcome(1, apiError+"null}"), gateway.Summary{Calls: 3}, execution.CodeModelError, "could not be reached"},
		"400, the CLI's": {exitedOutcome(1, apiError+"400}"), gateway.Summary{}, execution.CodeModelError, "rejected the request (status 400): API Error"},
		"denied": {
			exitedOutcome(1, apiError+"403}"), gateway.Summary{Denied: 1, LastDenial: "the model is not allowed"},
			execution.CodeModelError, "gateway denied the agent's request: the model is not allowed",
		},
		"over budget": {
			exitedOutcome(1, apiError+"403}"), gateway.Summary{Calls: 2, Denied: 1, LastDenial: "x", BudgetExceeded: "240 of 200 tokens"},
			execution.CodeBudgetExceeded, "240 of 200 tokens",
		},
		"half a surrogate pair": {outcome: exitedOutcome(0, strings.Replace(good, `"num_turns"`, `"x":"\ud83d","num_turns"`, 1))},
		"recovered from a 529":  {outcome: exitedOutcome(0, good), egress: gateway.Summary{Calls: 2, LastStatus: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := claudeWithSummary(c.egress).Prepare(t.Context(), task(execution.Task{Input: "x"}))
			require.Nil(t, failure)
			result, failure := run.ParseOutcome(c.outcome)
			if c.code == "" {
				require.Nil(t, failure)
				require.Equal(t, "hi", result.Text)
				return
			}
			require.Nil(t, result)
			require.Equal(t, c.code, failure.Code, failure.Message)
			require.Contains(t, failure.Message, c.message)
		})
	}
}

func TestParseOutcomeWithSchema(t *testing.T) {
	for name, c := range map[string]struct {
		stdout string
		want   *execution.Result // nil: failure
	}{
		"filled in":     {filled, &execution.Result{Text: "x", Output: `{"reply":"x"}`}},
		"text only":     {good, &execution.Result{Text: "hi"}},
		"not an object": {list, nil},
		"no answer":     {noAnswer, nil},
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), task(execution.Task{Input: "x", Schema: `{"type":"object"}`}))
			require.Nil(t, failure)
			result, failure := run.ParseOutcome(exitedOutcome(0, c.stdout))
			require.Empty(t, cmp.Diff(c.want, result))
			require.Equal(t, c.want == nil, failure != nil)
		})
	}
}

func TestFailureExcerptIsBounded(t *testing.T) {
	run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), task(execution.Task{Input: "x"}))
	require.Nil(t, failure)
	o := exitedOutcome(1, "")
	o.Stderr = []byte(strings.Repeat("é", 10_000))
	_, failure = run.ParseOutcome(o)
	require.Less(t, len(failure.Message), 600)
	require.True(t, strings.HasSuffix(failure.Message, "é…"), "the cut is between two characters")
}

func TestUsageFromGatewaySummary(t *testing.T) {
	run, failure := claudeWithSummary(gateway.Summary{
		Calls: 2, CostUSD: 0.5, Tokens: gateway.Tokens{Input: 1, Output: 2, CacheRead: 10, CacheWrite5m: 100, CacheWrite1h: 1000},
	}).Prepare(t.Context(), task(execution.Task{Input: "x"}))
	require.Nil(t, failure)
	require.Equal(t, execution.Usage{InputTokens: 1111, OutputTokens: 2, CostUSD: 0.5, Calls: 2, Model: run.Model}, run.Usage())
	require.NotEmpty(t, run.Model, "the runtime's default")
}

func TestClaudeNeedsAGateway(t *testing.T) {
	_, failure := agentruntime.NewRegistry(claudeRuntime("image", nil)).Prepare(t.Context(), task(execution.Task{Runtime: "claude", Input: "x"}))
	require.Equal(t, execution.CodeNoExecutor, failure.Code)
	require.Contains(t, failure.Message, "ANTHROPIC_API_KEY")
}

func TestClaudeAllowedModels(t *testing.T) {
	registry := claudeWithSummary(gateway.Summary{})
	_, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", Model: "gpt-9"}))
	require.NotNil(t, failure)
	require.Contains(t, failure.Message, `does not allow the model "gpt-9"`)

	run, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", Model: "claude-haiku-4-5"}))
	require.Nil(t, failure)
	input, err := streamjson.ReadInput(bytes.NewReader(run.Job.Stdin))
	require.NoError(t, err)
	require.Equal(t, "claude-haiku-4-5", input.Model)
}
