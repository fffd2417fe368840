package e2e

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
)

func TestConversation(t *testing.T) {
	t.Parallel()
	a := start(t)

	var accepted contract.AcceptedExecution
	res := a.post("/api/conversation", contract.SendMessage{Message: "안녕하세요"}, &accepted)
	require.Equal(t, contract.StatusQueued, accepted.Status)
	require.Equal(t, "/executions/"+accepted.ExecutionId, res.Header.Get("Location"))
	require.Equal(t, accepted.Urls.Self, res.Header.Get("Location"))

	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	require.Contains(t, e.Result.Text, "안녕하세요")
	require.Equal(t, 1, e.Attempt)

	var c contract.ConversationDetail
	a.get(accepted.Urls.Conversation, &c)
	require.Len(t, c.Messages, 2)
	require.Equal(t, contract.User, c.Messages[0].Role)
	require.Equal(t, "안녕하세요", c.Messages[0].Text)
	require.Equal(t, contract.Assistant, c.Messages[1].Role)
	require.Equal(t, e.Result.Text, c.Messages[1].Text)
	require.Empty(t, c.Pending)
}

func TestConversationDraftCanBeCreatedAndRun(t *testing.T) {
	t.Parallel()
	a := start(t)
	e := a.awaitExecution(a.sendMessage(contract.SendMessage{Message: "Make an agent that summarises an article"}).ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	draft := e.Result.AgentDraft
	require.NotEmpty(t, draft.Name)
	require.NotEmpty(t, draft.Instructions)

	created := a.createAgent(contract.CreateAgent{Name: draft.Name, Description: draft.Description, Instructions: draft.Instructions})
	run := a.awaitExecution(a.runAgent(created.Id, "First point. Second point. Third point. Fourth point. Fifth point.").ExecutionId)
	require.Equal(t, contract.StatusSucceeded, run.Status)
	require.Contains(t, run.Result.Text, "First point.")
	require.NotContains(t, run.Result.Text, "Fifth point.")
}

// Turns that are sent without waiting for replies run one after another.
func TestTurnsRunInOrder(t *testing.T) {
	t.Parallel()
	a := start(t)
	first := a.sendMessage(contract.SendMessage{Message: "message 0"})
	turns := []contract.AcceptedExecution{first}
	for i := 1; i < 5; i++ {
		turns = append(turns, a.sendMessage(contract.SendMessage{Message: fmt.Sprintf("message %d", i), ConversationId: first.ConversationId}))
	}
	var previous contract.Execution
	for i, turn := range turns {
		e := a.awaitExecution(turn.ExecutionId)
		require.Equal(t, contract.StatusSucceeded, e.Status)
		if i > 0 {
			require.False(t, e.StartedAt.Before(previous.FinishedAt), "turn %d started before the previous one had finished", i+1)
		}
		previous = e
	}
	var c contract.ConversationDetail
	a.get(first.Urls.Conversation, &c)
	require.Len(t, c.Messages, 10)
	for i, m := range c.Messages {
		require.Equal(t, i/2+1, m.Turn)
		require.Equal(t, turns[i/2].ExecutionId, m.ExecutionId)
		if i%2 == 0 {
			require.Equal(t, fmt.Sprintf("message %d", i/2), m.Text)
		}
	}
}

// A failed turn has a reply with its error, and the next turn runs.
func TestFailedTurnHasReply(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(contract.CreateAgent{Name: "Failing", Instructions: "Echo", Timeout: "30s"})
	first := a.sendMessage(contract.SendMessage{AgentId: agent.Id, Message: `{"offline":{"exit":3}}`})
	second := a.sendMessage(contract.SendMessage{ConversationId: first.ConversationId, Message: "still there?"})
	require.Equal(t, contract.StatusFailed, a.awaitExecution(first.ExecutionId).Status)
	require.Equal(t, contract.StatusSucceeded, a.awaitExecution(second.ExecutionId).Status)

	var c contract.ConversationDetail
	a.get(first.Urls.Conversation, &c)
	require.Len(t, c.Messages, 4)
	require.Equal(t, contract.FailureCodeAgentError, c.Messages[1].Error.Code)
	require.NotEmpty(t, c.Messages[3].Text)
}

// rememberingRuntimes has programs that take part in conversations in each way, and one that does not.
const rememberingRuntimes = `
runtimes:
  - name: resuming
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/bash, -c, 'mkdir -p ~/.sessions; tee ~/.sessions/s$RANDOM.log']
    conversation:
      history: stdin
      resume:
        argv: [/bin/bash, -c, 'cat >>~/.sessions/$1.log; cat ~/.sessions/$1.log; if tail -n 1 ~/.sessions/$1.log | grep -q "^wait"; then sleep 1000; fi', agent, "{session}"]
        folder: /home/agent/.sessions
        id: '(s[0-9]+)\.log$'
  - name: told
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/cat]
    conversation: {history: stdin}
  - name: upper
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/usr/bin/tr, a-z, A-Z]
`

// A program remembers a conversation by its own session, also when a turn in between was canceled.
func TestProgramInConversation(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, rememberingRuntimes))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "resuming"})
	require.True(t, agent.Conversations)
	first := a.sendMessage(contract.SendMessage{Message: "one\n", AgentId: agent.Id})
	require.Equal(t, "one", a.awaitExecution(first.ExecutionId).Result.Text)

	canceled := a.sendMessage(contract.SendMessage{Message: "wait", ConversationId: first.ConversationId})
	a.awaitStatus(canceled.ExecutionId, contract.StatusRunning)
	a.cancel(canceled.Urls.Cancel)
	require.Equal(t, contract.StatusCanceled, a.awaitExecution(canceled.ExecutionId).Status)

	third := a.sendMessage(contract.SendMessage{Message: "three", ConversationId: first.ConversationId})
	e := a.awaitExecution(third.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	require.Regexp(t, `(?s)^one\n.*\[airlock: the newest messages.*\| wait.*\[airlock: the new message\]\nthree$`, e.Result.Text)
}

func TestProgramIsToldTheConversation(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, rememberingRuntimes))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "told"})
	first := a.sendMessage(contract.SendMessage{Message: "one", AgentId: agent.Id})
	second := a.sendMessage(contract.SendMessage{Message: "two", ConversationId: first.ConversationId})
	require.Equal(t, "one", a.awaitExecution(first.ExecutionId).Result.Text)
	require.Regexp(t, `(?s)^\[airlock: the earlier messages.*\| one\n\[airlock: assistant\]\n\| one\n\[airlock: the new message\]\ntwo$`,
		a.awaitExecution(second.ExecutionId).Result.Text)
}

func TestProgramWithoutConversations(t *testing.T) {
	t.Parallel()
	a := start(t, withRuntimes(t, rememberingRuntimes))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "upper"})
	require.False(t, agent.Conversations)
	got := a.do(http.MethodPost, "/api/conversation", jsonType, []byte(`{"message":"one","agentId":"`+agent.Id+`"}`))
	require.Equal(t, http.StatusUnprocessableEntity, got.StatusCode)
	require.Contains(t, string(got.body), "no_conversations")
	require.Equal(t, "ONE", a.awaitExecution(a.runAgent(agent.Id, "one").ExecutionId).Result.Text)
}
