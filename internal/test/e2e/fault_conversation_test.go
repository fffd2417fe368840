package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// The program has two bugs. Each command fixes one, and fails if that one is not there.
const (
	writeProgram = `mkdir -p src && printf 'def double(n):\n    return n + 1\n\ndef half(n):\n    return n * 2\n' > src/numbers.py`
	fixFirstBug  = `grep -q 'n + 1' src/numbers.py && sed -i 's/n + 1/n * 2/' src/numbers.py && echo fixed the first`
	fixSecondBug = `grep -q 'return n \* 2' src/numbers.py && tail -n 1 src/numbers.py | grep -q 'n \* 2' && sed -i '$s/n \* 2/n \/\/ 2/' src/numbers.py && echo fixed the second`
	tryProgram   = `python3 -c 'exec(open("src/numbers.py").read()); print(double(21), half(84))'`
)

// Claude Code fixes a program over three turns. The second is canceled after its fix, and the executor of the third is
// killed after its fix: its next attempt begins with the files that the second turn left. Nothing is lost, and the
// transcript has what both attempts said.
func TestFaultClaudeFixesAProgramOverThreeTurns(t *testing.T) {
	t.Parallel()
	skipLeases(t)
	bash := func(command string) modelstub.Response {
		return modelstub.ToolUse("Bash", map[string]string{"command": command, "description": "work on the program"})
	}
	hanging := make(chan struct{}, 16)
	var killed atomic.Bool
	hang := func() modelstub.Response {
		hanging <- struct{}{}
		return modelstub.Hang()
	}
	model := modelstub.Start(func(r modelstub.Request) modelstub.Response {
		prompt := r.Prompt()
		switch {
		case strings.Contains(prompt, "fixed the second") && !killed.Load():
			return hang()
		case strings.Contains(prompt, "fixed the second"):
			return bash(tryProgram)
		case strings.Contains(prompt, "42 42"):
			return modelstub.Text("The program works: 42 42.")
		case strings.Contains(prompt, "fixed the first"):
			return hang()
		case strings.Contains(prompt, "third turn"):
			return bash(fixSecondBug).Saying("I fix the second bug.")
		case strings.Contains(prompt, "second turn"):
			return bash(fixFirstBug).Saying("I fix the first bug.")
		case strings.Contains(prompt, "first turn"):
			return bash(writeProgram).Saying("I write the program.")
		default:
			return modelstub.Text("The command is done: " + prompt)
		}
	})
	t.Cleanup(model.Close)
	l := newFaultCluster(t, 0)
	claude := []string{"ANTHROPIC_API_KEY=" + operatorKey, "ANTHROPIC_BASE_URL=" + model.URL().String()}
	first := l.startExecutor(claude...)
	agent := l.createAgent(contract.CreateAgent{Name: "Claude", Instructions: "Work on the program", Runtime: "claude", Timeout: "5m", TranscriptRetention: "72h"})
	awaitHang := func() {
		t.Helper()
		select {
		case <-hanging:
		case <-time.After(2 * time.Minute):
			t.Fatal("the agent does not call the model")
		}
	}

	turn := l.sendMessage(contract.SendMessage{AgentId: agent.Id, Message: "first turn: write the program"})
	require.Equal(t, contract.StatusSucceeded, l.awaitExecution(turn.ExecutionId).Status)

	turn = l.sendMessage(contract.SendMessage{ConversationId: turn.ConversationId, Message: "second turn: fix the first bug"})
	awaitHang()
	l.cancel("/executions/" + turn.ExecutionId + "/cancel")
	canceled := l.awaitExecution(turn.ExecutionId)
	require.Equal(t, contract.StatusCanceled, canceled.Status)
	require.Equal(t, "I fix the first bug.", canceled.PartialText)
	require.Positive(t, canceled.Workspace.Size)
	require.Equal(t, []string{
		"1 text: I fix the first bug.", "1 tool_call: Bash", "1 tool_result: fixed the first", "1 end: canceled: The execution was canceled.",
	}, l.transcript(turn.ExecutionId))

	turn = l.sendMessage(contract.SendMessage{ConversationId: turn.ConversationId, Message: "third turn: fix the second bug"})
	awaitHang()
	l.eventually("the first part of the transcript is stored", func() bool { return len(l.transcript(turn.ExecutionId)) == 3 })
	killed.Store(true)
	require.NoError(t, first.Process.Kill())
	first.awaitKilled(t)
	second := l.startExecutor(claude...)
	fixed := l.awaitExecution(turn.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, fixed.Status, "%+v", fixed.Error)
	require.Equal(t, "The program works: 42 42.", fixed.Result.Text)
	require.Equal(t, 2, fixed.Attempt)
	require.Equal(t, fixed.FinishedAt.Add(72*time.Hour), fixed.TranscriptExpiresAt)
	attempt := []string{" text: I fix the second bug.", " tool_call: Bash", " tool_result: fixed the second"}
	var want []string
	for _, number := range []string{"1", "2"} {
		for _, item := range attempt {
			want = append(want, number+item)
		}
	}
	want = append(want, "2 tool_call: Bash", "2 tool_result: 42 42", "2 text: The program works: 42 42.", "2 end: succeeded")
	require.Equal(t, want, l.transcript(turn.ExecutionId))

	last := model.Requests()[len(model.Requests())-1]
	for _, part := range []string{"first turn", writeProgram[:20], "second turn", "fixed the first", "[This turn was canceled before it ended.]", "third turn"} {
		require.Contains(t, string(last.Raw), part)
	}
	l.requireHistoryHolds(second)
}

// transcript returns the items of an execution's transcript.
func (a *airlock) transcript(executionID string) (items []string) {
	a.t.Helper()
	got := a.call(http.MethodGet, "/executions/"+executionID+"/transcript", http.StatusOK, nil)
	for line := range bytes.Lines(got.body) {
		var i contract.TranscriptItem
		require.NoError(a.t, json.Unmarshal(line, &i))
		text := i.Text
		if i.Type == contract.TranscriptToolCall {
			text = i.Tool
		}
		items = append(items, string('0'+rune(i.Attempt))+" "+string(i.Type)+": "+text)
	}
	return items
}
