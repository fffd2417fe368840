package agentruntime_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// These tests show what the real CLI makes of the sessions that it is given.

// talk is a conversation with the real CLI, as the executor and the store have it.
type talk struct {
	*claudeHarness
	messages []conversation.Message
	session  *execution.AgentSession
	data     []byte
	model    string

	instructions string
	usage        execution.Usage // of the newest turn
}

// turn runs a turn and keeps what the next one needs. It returns the last request to the model.
func (c *talk) turn(input string) (lastRequest string, failure *execution.Failure) {
	c.t.Helper()
	return c.turnUntil(c.t.Context(), input)
}

// turnUntil stops the turn when ctx ends with the cause sandbox.ErrStop.
func (c *talk) turnUntil(ctx context.Context, input string) (lastRequest string, failure *execution.Failure) {
	c.t.Helper()
	number := len(c.messages)/2 + 1
	run, outcome := c.executeUntil(ctx, execution.Task{
		Model: c.model, Instructions: c.instructions, Input: input, History: conversation.History(c.messages), Session: c.session, SessionData: c.data,
	})
	result, failure := run.ParseOutcome(outcome)
	c.usage = run.Usage()
	c.messages = append(c.messages, conversation.Message{Turn: number, Role: execution.RoleUser, Text: input})
	reply := conversation.Message{Turn: number, Role: execution.RoleAssistant, Failure: failure}
	if result != nil {
		reply.Text = result.Text
	}
	c.messages = append(c.messages, reply)
	if session, data := run.ExtractSession(outcome); session != nil {
		session.Turn = number
		c.session, c.data = session, data
	}
	require.False(c.t, failure != nil && run.SessionRejected(outcome))
	requests := c.modelRequests()
	return string(requests[len(requests)-1].Raw), failure
}

func (c *talk) mustTurn(input string) (lastRequest string) {
	c.t.Helper()
	lastRequest, failure := c.turn(input)
	require.Nil(c.t, failure)
	return lastRequest
}

func requireInOrder(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		_, rest, found := strings.Cut(text, part)
		require.True(t, found, "%q is missing or in another place in %.3000s", part, text)
		text = rest
	}
}

// rememberingModel calls a tool in each turn, answers, and does something else after the tool of some turns.
func rememberingModel(afterTool map[string]modelstub.Response) modelstub.Script {
	tools := map[string]modelstub.Response{
		"first":  modelstub.ToolUse("Bash", map[string]string{"command": "echo from-the-first-tool", "description": "look"}),
		"second": modelstub.ToolUse("Write", map[string]string{"file_path": "/workspace/note", "content": "of-the-second-tool"}),
	}
	return func(r modelstub.Request) modelstub.Response {
		last := r.Messages[len(r.Messages)-1]
		for turn, tool := range tools {
			if strings.HasSuffix(strings.TrimSpace(last.Text), "the "+turn+" message") {
				return tool
			}
		}
		raw := string(r.Raw)
		for turn, response := range afterTool {
			if strings.Contains(raw, "the "+turn+" message") && !strings.Contains(raw, "the third message") {
				return response
			}
		}
		return modelstub.Text(fmt.Sprintf("answer to %d messages", len(r.Messages)))
	}
}

// The CLI's session contains more than the messages: in the next turn, in another container, the request to the model
// has the tool calls of the turn before. That turn may have used another model.
func TestClaudeResumesStoredSession(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(nil))}
	c.mustTurn("the first message")
	require.NotNil(t, c.session)
	require.Equal(t, "claude", c.session.Runtime)
	require.Equal(t, "claude-sonnet-4-6", c.session.Model)
	require.Less(t, c.session.Size, int64(256<<10))

	c.model = "claude-opus-4-5"
	last := c.mustTurn("the second message")
	requireInOrder(t, last, `"messages"`, "the first message", "echo from-the-first-tool", `"tool_result"`, "answer to", "the second message")
	require.Contains(t, last, "claude-opus-4-5")
	require.Equal(t, c.model, c.session.Model)
}

// The CLI stores its system prompt in the session. Instructions that were changed between two turns apply all the same.
func TestClaudeFollowsChangedInstructions(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(nil)), instructions: "Answer in verse."}
	c.mustTurn("the first message")
	require.Contains(t, string(c.data), "Answer in verse.")
	require.Contains(t, c.mustTurn("the second message"), "Answer in verse.")
	c.instructions = "Answer in prose."
	last := c.mustTurn("the third message")
	requireInOrder(t, last, `"messages"`, "the first message", "echo from-the-first-tool", `"tool_result"`, "the second message", "of-the-second-tool", "the third message")
	require.Contains(t, last, "Answer in prose.")
	require.NotContains(t, last, "Answer in verse.")
	size := c.session.Size
	c.mustTurn("the fourth message")
	require.Less(t, c.session.Size-size, int64(20<<10), "a turn with the same instructions stores no other prompt")
}

// The session of a turn that failed has what the agent did until then, and the agent is told how the turn ended.
func TestClaudeRemembersFailedTurn(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(map[string]modelstub.Response{
		"second": modelstub.Status(http.StatusBadRequest, "invalid_request_error", "on purpose"),
	}))}
	c.mustTurn("the first message")
	_, failure := c.turn("the second message")
	require.NotNil(t, failure)
	c.requireRemembers("[This turn failed before it ended: ")
}

// The CLI is killed while it waits for the model.
func TestClaudeRemembersTurnThatTimedOut(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(map[string]modelstub.Response{"second": modelstub.Hang()}))}
	c.mustTurn("the first message")
	c.timeout = 6 * time.Second
	_, failure := c.turn("the second message")
	require.Equal(t, execution.CodeTimedOut, failure.Code)
	c.requireRemembers("[This turn timed out before it ended.]")
}

// The CLI is stopped while it waits for the model.
func TestClaudeRemembersCanceledTurn(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(map[string]modelstub.Response{"second": modelstub.Hang()}))}
	c.mustTurn("the first message")
	ctx, stop := context.WithCancelCause(t.Context())
	go func() {
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case request := <-c.upstream.Received():
				if strings.Contains(string(request.Raw), "of-the-second-tool") {
					stop(sandbox.ErrStop)
				}
			}
		}
	}()
	_, failure := c.turnUntil(ctx, "the second message")
	require.Equal(t, execution.CodeCanceled, failure.Code)
	c.requireRemembers("[This turn was canceled before it ended.]")
}

// requireRemembers requires that the agent of the third turn knows what was done in the second one, and how that ended.
func (c *talk) requireRemembers(end string) {
	c.t.Helper()
	require.Equal(c.t, 2, c.session.Turn)
	c.timeout = time.Minute
	last := c.mustTurn("the third message")
	requireInOrder(c.t, last, `"messages"`, "the first message", "echo from-the-first-tool", "answer to",
		"the second message", "of-the-second-tool", `"tool_result"`, end, "the third message")
	require.Equal(c.t, 1, strings.Count(last, "the second message"))
}

// A turn whose session is lost is left with its messages, after the session before it. The agent is told.
func TestClaudeGoesOnFromEarlierSession(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(nil))}
	c.mustTurn("the first message")
	session, data := c.session, c.data
	c.mustTurn("the second message")
	c.session, c.data = session, data
	last := c.mustTurn("the third message")
	requireInOrder(t, last, `"messages"`, "the first message", "echo from-the-first-tool", "answer to",
		"only the messages are left", "the second message", "answer to", "the third message")
	require.NotContains(t, last, "of-the-second-tool")
}

// A file of a CLI that was killed ends with a call of a tool, or in the middle of a line.
func TestClaudeResumesSessionOfKilledCLI(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(nil))}
	c.mustTurn("the first message")
	complete, session := c.data, c.session
	call := bytes.Index(complete, []byte(`"type":"tool_use"`))
	end := call + bytes.IndexByte(complete[call:], '\n') + 1
	for name, data := range map[string][]byte{
		"after a call":       complete[:end],
		"in the next line":   complete[:end+100],
		"in the call":        complete[:call+10],
		"after the question": complete[:bytes.LastIndexByte(complete[:call], '\n')+1],
	} {
		t.Run(name, func(t *testing.T) {
			run, failure := c.registry.Prepare(t.Context(), &execution.Execution{
				ID: "exe_1", ConversationID: "con_" + c.t.Name(), Task: execution.Task{Input: "x"}, Limits: execution.Limits{Timeout: time.Minute},
			})
			require.Nil(t, failure)
			_, left := run.ExtractSession(withFile(sandbox.Outcome{EndReason: sandbox.TimedOut}, run.Job.Collect[0], string(data)))
			require.NotEmpty(t, left)
			timedOut := &execution.Failure{Code: execution.CodeTimedOut}
			next := &talk{claudeHarness: c.claudeHarness, session: session, data: left, messages: []conversation.Message{
				{Turn: 1, Role: execution.RoleUser, Text: "the first message"}, {Turn: 1, Role: execution.RoleAssistant, Failure: timedOut},
			}}
			last := next.mustTurn("the third message")
			requireInOrder(t, last, `"messages"`, "the first message", "[This turn timed out before it ended.]", "the third message")
		})
	}
}

// A session of some 800 KiB goes on with all that was said and done. If it is cut, it goes on with its newest
// part, and the agent is told.
func TestClaudeResumesLargeSession(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(nil))}
	c.mustTurn("the first message")
	for i := range 4 {
		c.mustTurn(fmt.Sprintf("large message %d ", i) + strings.Repeat("large ", execution.MaxInputBytes/8))
	}
	c.mustTurn("the second message")
	require.Greater(t, c.session.Size, int64(700<<10))
	last := c.mustTurn("the third message")
	requireInOrder(t, last, `"messages"`, "the first message", "echo from-the-first-tool", "large message 0", "large message 3",
		"the second message", "of-the-second-tool", `"tool_result"`, "the third message")

	id := uuid.MustParse(strings.TrimSuffix(c.sessionFileName(), ".jsonl"))
	for limit, remembers := range map[int64][]string{
		16 << 10: {"the third message"}, 24 << 10: {"the second message", "of-the-second-tool"}, 600 << 10: {"large message 3", "of-the-second-tool"},
	} {
		cut, err := sessionfile.Read(io.NewSectionReader(bytes.NewReader(c.data), 0, int64(len(c.data))), id, limit)
		require.NoError(t, err)
		require.LessOrEqual(t, int64(len(cut)), limit)
		next := &talk{claudeHarness: c.claudeHarness, session: c.session, data: cut, messages: c.messages}
		last = next.mustTurn("the last message")
		requireInOrder(t, last, append([]string{`"messages"`, "The beginning of this conversation was removed"}, append(remembers, "the last message")...)...)
		require.NotContains(t, last, "large message 0")
		require.Equal(t, strings.Count(last, `"tool_use_id"`), strings.Count(last, `"type":"tool_use"`))
		require.NotContains(t, last, "[Tool use interrupted]")
	}
}

// A session of the largest size goes into a sandbox. When the CLI makes it longer, it is cut.
func TestClaudeResumesLargestSession(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, rememberingModel(nil))}
	c.mustTurn("the first message")
	padding := []byte(`{"type":"progress","data":"` + strings.Repeat("x", 1000) + `"}` + "\n")
	c.data = append(c.data, bytes.Repeat(padding, (execution.MaxAgentSessionBytes-len(c.data))/len(padding))...)
	requireInOrder(t, c.mustTurn("the second message"), `"messages"`, "the first message", "echo from-the-first-tool", "the second message")
	require.LessOrEqual(t, c.session.Size, int64(execution.MaxAgentSessionBytes))
	require.Greater(t, c.session.Size, int64(execution.MaxAgentSessionBytes-1<<20))
	last := c.mustTurn("the third message")
	requireInOrder(t, last, `"messages"`, "The beginning of this conversation was removed", "the second message", "of-the-second-tool", "the third message")
}

// The CLI compacts a conversation that fills the context of its model. Its call of the model counts as any other. When
// the beginning of such a session is cut off, the agent has lost nothing.
func TestClaudeCompactsConversation(t *testing.T) {
	t.Parallel()
	c := &talk{claudeHarness: newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
		if strings.Contains(r.Prompt(), "<summary>") {
			return modelstub.Text("<summary>the summary of it all</summary>")
		}
		response := modelstub.Text("an answer")
		if r.Number <= 2 { // the first may be one that only tries the connection
			response.Usage = map[string]any{"input_tokens": 190_000, "output_tokens": 100}
		}
		return response
	})}
	c.mustTurn("the first message")
	last := c.mustTurn("the second message")
	require.Len(t, c.modelRequests(), 3)
	require.EqualValues(t, 2, c.usage.Calls, "the summary and the answer")
	requireInOrder(t, last, `"messages"`, "the summary of it all", "the second message")

	cut, err := sessionfile.Read(io.NewSectionReader(bytes.NewReader(c.data), 0, int64(len(c.data))), uuid.New(), int64(len(c.data))-1)
	require.NoError(t, err)
	require.Less(t, len(cut), len(c.data))
	c.data = cut
	requireInOrder(t, c.mustTurn("the third message"), `"messages"`, "the summary of it all", "the second message", "the third message")
	require.NotContains(t, string(c.data), "was removed")
}

// sessionFileName returns the name of the session file of the harness's conversation.
func (c *talk) sessionFileName() string {
	run, failure := c.registry.Prepare(c.t.Context(), &execution.Execution{ID: "exe_1", ConversationID: "con_" + c.t.Name(), Task: execution.Task{Input: "x"}})
	require.Nil(c.t, failure)
	path := run.Job.Collect[0]
	return path[strings.LastIndexByte(path, '/')+1:]
}

// Without a session of the same runtime, the agent resumes from the messages, and is told.
func TestClaudeResumesFromMessagesWithoutSession(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]*execution.AgentSession{
		"none":               nil,
		"lost":               {Runtime: "claude", Model: "claude-sonnet-4-6"},
		"of another runtime": {Runtime: "offline"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, modelstub.Always(modelstub.Text("Momo")))
			_, result := h.mustRun(execution.Task{Input: "Its name?", Session: s, History: []execution.Message{
				{Role: execution.RoleUser, Text: "My cat is called Momo."}, {Role: execution.RoleAssistant, Text: "Good name."},
			}})
			require.Equal(t, "Momo", result.Text)
			requireInOrder(t, string(h.modelRequests()[0].Raw), `"messages"`, "was rebuilt from its newest messages", "My cat is called Momo.", "Its name?")
		})
	}
}
