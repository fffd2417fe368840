package e2e

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

const operatorKey = "sk-ant-operators-own"

// withClaude makes the real Claude Code CLI the default runtime, with a stand-in as its model.
func withClaude(model *modelstub.Server) func(*dev.Config) {
	return func(d *dev.Config) {
		d.API.DefaultRuntime = "claude"
		d.Executor.AnthropicAPIKey = operatorKey
		d.Executor.AnthropicBaseURL = model.URL()
	}
}

// The structured output of the real CLI becomes a reply and an agent draft. The
// second turn runs in another container and knows the first one.
func TestClaudeConversation(t *testing.T) {
	t.Parallel()
	model := modelstub.Start(func(r modelstub.Request) modelstub.Response {
		if strings.Contains(r.Prompt(), "Structured output provided") {
			return modelstub.Text("done")
		}
		var messages []string
		for _, m := range r.Messages {
			if m.Role == "user" {
				messages = append(messages, strings.TrimSpace(m.Text))
			}
		}
		return modelstub.ToolUse("StructuredOutput", map[string]any{
			"reply": "You said: " + strings.Join(messages, " | "),
			"agent": map[string]string{"name": "Writer", "instructions": "Write"},
		})
	})
	t.Cleanup(model.Close)
	a := start(t, withClaude(model))

	first := a.sendMessage(contract.SendMessage{Message: "I have a cat called Momo"})
	e := a.awaitExecution(first.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	require.Contains(t, e.Result.Text, "Momo")
	require.Equal(t, "Writer", e.Result.AgentDraft.Name)
	require.Positive(t, e.Usage.Calls)
	require.Positive(t, e.Usage.CostUsd)

	second := a.awaitExecution(a.sendMessage(contract.SendMessage{Message: "What is its name?", ConversationId: first.ConversationId}).ExecutionId)
	require.Equal(t, contract.StatusSucceeded, second.Status, "%+v", second.Error)
	require.Contains(t, second.Result.Text, "I have a cat called Momo")
	require.Contains(t, second.Result.Text, "What is its name?")
	for _, r := range model.Requests() {
		require.Equal(t, operatorKey, r.APIKey(), "the gateway sets the operator's key")
	}
}

// A conversation keeps the tool calls of its turns, besides their messages: the
// request of the third turn contains the first turn's tool call.
func TestClaudeSessionKeepsToolCalls(t *testing.T) {
	t.Parallel()
	model := modelstub.Start(modelstub.ByPrompt(map[string]modelstub.Script{
		"look around":   modelstub.Always(modelstub.ToolUse("Bash", map[string]string{"command": "echo the-tool-was-here", "description": "look"})),
		"was-here":      modelstub.Always(modelstub.Text("I looked")),
		"second":        modelstub.Always(modelstub.Text("still here")),
		"third message": modelstub.Always(modelstub.Text("and still")),
	}))
	t.Cleanup(model.Close)
	a := start(t, withClaude(model))
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Look around"})
	turn := a.sendMessage(contract.SendMessage{AgentId: agent.Id, Message: "look around"})
	for _, message := range []string{"second", "third message"} {
		e := a.awaitExecution(turn.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
		turn = a.sendMessage(contract.SendMessage{ConversationId: turn.ConversationId, Message: message})
	}
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(turn.ExecutionId).Status)
	requests := model.Requests()
	last := string(requests[len(requests)-1].Raw)
	for _, part := range []string{`"tool_use"`, "echo the-tool-was-here", `"tool_result"`, "I looked", "second", "still here", "third message"} {
		require.Contains(t, last, part)
	}
}

// A turn is canceled while its agent waits for the model. The next turn knows what it had done, and that it did not
// end.
func TestClaudeRemembersCanceledTurn(t *testing.T) {
	t.Parallel()
	waiting := make(chan struct{}, 16)
	model := modelstub.Start(modelstub.ByPrompt(map[string]modelstub.Script{
		"look around":   modelstub.Always(modelstub.Text("I looked")),
		"begin to work": modelstub.Always(modelstub.ToolUse("Bash", map[string]string{"command": "echo the-work-has-begun", "description": "work"})),
		"work-has-begun": func(modelstub.Request) modelstub.Response {
			waiting <- struct{}{}
			return modelstub.Hang()
		},
		"third message": modelstub.Always(modelstub.Text("I remember")),
	}))
	t.Cleanup(model.Close)
	a := start(t, withClaude(model))
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Look around"})
	turn := a.sendMessage(contract.SendMessage{AgentId: agent.Id, Message: "look around"})
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(turn.ExecutionId).Status)
	turn = a.sendMessage(contract.SendMessage{ConversationId: turn.ConversationId, Message: "begin to work"})
	select {
	case <-waiting:
	case <-time.After(time.Minute):
		t.Fatal("the agent does not call the model")
	}
	a.cancel("/api/conversation/" + turn.ConversationId + "/cancel")
	require.Equal(t, contract.StatusCanceled, a.awaitExecution(turn.ExecutionId).Status)
	turn = a.sendMessage(contract.SendMessage{ConversationId: turn.ConversationId, Message: "third message"})
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(turn.ExecutionId).Status)

	requests := model.Requests()
	last := string(requests[len(requests)-1].Raw)
	for _, part := range []string{
		"look around", "I looked", "begin to work", "echo the-work-has-begun", `"tool_result"`, "[This turn was canceled before it ended.]", "third message",
	} {
		require.Contains(t, last, part)
	}
}

// The model's response decides the status, the code and the message of the execution.
func TestClaudeRuns(t *testing.T) {
	t.Parallel()
	model := modelstub.Start(modelstub.ByPrompt(map[string]modelstub.Script{
		"say hello": modelstub.Always(modelstub.Text("Hello from the model")),
		"use a tool": modelstub.Always(modelstub.ToolUse("Bash", map[string]string{
			"command": "echo tool-output-is $((40+2)) > /workspace/note && cat /workspace/note", "description": "write a file",
		})),
		"tool-output-is 42": modelstub.Always(modelstub.Text("The file says 42")),
		"be unauthorized":   modelstub.Always(modelstub.Status(http.StatusUnauthorized, "authentication_error", "bad key")),
		"be overloaded":     modelstub.Always(modelstub.Status(529, "overloaded_error", "busy")),
		"hang":              modelstub.Always(modelstub.Hang()),
	}))
	t.Cleanup(model.Close)
	a := start(t, withClaude(model), func(d *dev.Config) { d.Executor.ModelMaxWait = 2 * time.Second })
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Do as you are told"})
	require.Equal(t, "claude", agent.Runtime)
	for name, tc := range map[string]struct {
		input, timeout string
		status         contract.Status
		code           contract.FailureCode
		text           string // part of the result or of the error message
	}{
		"success":     {"say hello", "60s", contract.StatusSucceeded, "", "Hello from the model"},
		"a tool call": {"use a tool", "60s", contract.StatusSucceeded, "", "The file says 42"},
		"401":         {"be unauthorized", "60s", contract.StatusFailed, contract.FailureCodeModelError, "401"},
		"529":         {"be overloaded", "60s", contract.StatusFailed, contract.FailureCodeModelError, "529"},
		"a hang":      {"hang", "6s", contract.StatusTimedOut, contract.FailureCodeTimedOut, "6s"},
	} {
		t.Run(name, func(t *testing.T) {
			accepted := a.submitRun(agent.Id, contract.RunAgent{Input: tc.input, Timeout: tc.timeout})
			e := a.awaitExecution(accepted.ExecutionId)
			require.Equal(t, tc.status, e.Status, "%+v", e.Error)
			require.Equal(t, tc.code, e.Error.Code)
			require.Contains(t, e.Result.Text+e.Error.Message, tc.text)
			require.NotContains(t, e.Result.Text+e.Error.Message, operatorKey)
		})
	}
	a.awaitNoContainers()
}

// A run waits for a busy provider longer than it may run, and shows it.
func TestClaudeWaitsForBusyModel(t *testing.T) {
	t.Parallel()
	busy := modelstub.Raw(529, http.Header{"Retry-After": {"15"}}, "")
	model := modelstub.Start(modelstub.Sequence(busy, modelstub.Text("Here I am")))
	t.Cleanup(model.Close)
	a := start(t, withClaude(model))
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Do as you are told"})
	id := a.submitRun(agent.Id, contract.RunAgent{Input: "hello", Timeout: "12s"}).ExecutionId
	steps := a.streamSteps(id, func([]string) {})
	require.Contains(t, steps, "the model is busy (status 529), next try in 15 s")
	e := a.awaitExecution(id)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	wait, err := time.ParseDuration(e.Usage.ModelWait)
	require.NoError(t, err)
	require.InDelta(t, 15*time.Second, wait, float64(5*time.Second))
	require.EqualValues(t, 1, e.Usage.Calls)
}

// Without the operator's API key no executor offers the runtime claude. The execution says so while it waits, and fails
// after its queue time-out.
func TestClaudeWithoutModelKey(t *testing.T) {
	t.Parallel()
	a := start(t, func(d *dev.Config) { d.Executor.AnthropicAPIKey = "" })
	agent := a.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "x", Runtime: "claude"})
	id := a.submitRun(agent.Id, contract.RunAgent{Input: "hello", QueueTimeout: "5s"}).ExecutionId
	require.Eventually(t, func() bool {
		return a.getExecution(id).WaitingFor == contract.WaitingForExecutor
	}, 30*time.Second, 50*time.Millisecond)
	e := a.awaitExecution(id)
	require.Equal(t, contract.StatusFailed, e.Status)
	require.Equal(t, contract.FailureCodeNoExecutor, e.Error.Code)
	require.Contains(t, e.Error.Message, "claude")
	require.Zero(t, e.Attempt)
}
