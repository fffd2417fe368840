package agentruntime_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
)

const sessionLine = `{"type":"user","message":{"role":"user"}}` + "\n"

// A session is stored only if a later turn can use it. How the turn ended does not matter.
func TestExtractSession(t *testing.T) {
	registry := claudeWithSummary(gateway.Summary{})
	run, failure := registry.Prepare(t.Context(), task(execution.Task{Input: "x", Model: "claude-opus-4-5"}))
	require.Nil(t, failure)
	require.Len(t, run.Job.Collect, 1)
	path := run.Job.Collect[0]
	padded := func(size int) string {
		return sessionLine + `{"a":"` + strings.Repeat("x", size-len(sessionLine)-9) + `"}` + "\n"
	}
	for name, c := range map[string]struct {
		path, data string
		stored     string
	}{
		"its session":         {path, sessionLine, sessionLine},
		"half a surrogate":    {path, sessionLine + `{"text":"\ud83d"}` + "\n", sessionLine + `{"text":"\ud83d"}` + "\n"},
		"another file":        {"/workspace/out/x.jsonl", sessionLine, ""},
		"an empty file":       {path, "", ""},
		"an empty line":       {path, "\n" + sessionLine, sessionLine},
		"text":                {path, "hello\n", ""},
		"a list":              {path, "[]\n", ""},
		"an incomplete line":  {path, sessionLine + `{"type":`, sessionLine},
		"no line feed":        {path, sessionLine + `{}`, sessionLine},
		"invalid UTF-8":       {path, sessionLine + "{\"a\":\"\xff\"}\n", sessionLine + "{\"a\":\"\xff\"}\n"},
		"10,000 deep":         {path, sessionLine + `{"a":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + "}\n", sessionLine},
		"no message":          {path, `{"type":"queue-operation"}` + "\n", ""},
		"of the largest size": {path, padded(execution.MaxAgentSessionBytes), padded(execution.MaxAgentSessionBytes)},
		"nothing to keep":     {path, padded(execution.MaxAgentSessionBytes + 1), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range []sandbox.Outcome{exitedOutcome(0, good), {EndReason: sandbox.TimedOut}, {EndReason: sandbox.OutOfMemory}, {}} {
				session, data := run.ExtractSession(withFile(o, c.path, c.data))
				require.True(t, c.stored == string(data))
				if c.stored == "" {
					require.Nil(t, session)
					continue
				}
				require.Equal(t, &execution.AgentSession{Runtime: "claude", Model: "claude-opus-4-5", Size: int64(len(c.stored))}, session)
			}
		})
	}
	session, _ := run.ExtractSession(exitedOutcome(0, good))
	require.Nil(t, session, "no files at all")
}

// withFile adds a file to an outcome, by its path in the sandbox.
func withFile(o sandbox.Outcome, path, data string) sandbox.Outcome {
	o.Files = []sandbox.OutputFile{{Path: path, Content: io.NewSectionReader(strings.NewReader(data), 0, int64(len(data)))}}
	return o
}

// An agent that was killed at once leaves the session that it was given. It does not have the message of this turn, so
// the conversation keeps the session before.
func TestExtractSessionWithoutThisTurn(t *testing.T) {
	run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), task(execution.Task{
		Input: "x", History: history, Session: storedSession("claude", "m"), SessionData: []byte(sessionLine),
	}))
	require.Nil(t, failure)
	file := startFiles(run)[0]
	given := string(file.Data)
	for later, stored := range map[string]bool{
		"": false, `{"type":"queue-operation"}` + "\n": false, `{"type":"assistant"}` + "\n": false,
		`{"type":"user"}` + "\n": true, `{"type":"queue-operation"}` + "\n" + `{"type":"user"}` + "\n": true,
	} {
		session, _ := run.ExtractSession(withFile(sandbox.Outcome{EndReason: sandbox.TimedOut}, file.Path, given+later))
		require.Equal(t, stored, session != nil, later)
	}
}

var history = []execution.Message{
	{Role: execution.RoleUser, Text: "hi", Turn: 1}, {Role: execution.RoleAssistant, Text: "ho", Turn: 1},
	{Role: execution.RoleUser, Text: "and", Turn: 2}, {Role: execution.RoleAssistant, Text: "[canceled]", Turn: 2, Failed: true},
}

func storedSession(runtimeName, model string) *execution.AgentSession {
	return &execution.AgentSession{Runtime: runtimeName, Model: model, Turn: 1}
}

// The agent resumes from the session of its runtime, with the messages since then, or else from the messages. Then it
// is told.
func TestSessionFile(t *testing.T) {
	data := []byte(sessionLine)
	ofTurn2 := storedSession("claude", "claude-sonnet-4-6")
	ofTurn2.Turn = 2
	ofTurn3 := storedSession("claude", "claude-sonnet-4-6")
	ofTurn3.Turn = 3
	rebuilt := []string{"was rebuilt", "hi", "ho", "and", "[canceled]"}
	for name, c := range map[string]struct {
		task   execution.Task
		stored bool     // the file begins with the stored session
		texts  []string // of the entries after that
	}{
		"with a later turn":  {execution.Task{History: history, Session: storedSession("claude", "claude-sonnet-4-6"), SessionData: data}, true, []string{"only the messages are left", "and", "[canceled]"}},
		"of a failed turn":   {execution.Task{History: history, Session: ofTurn2, SessionData: data}, true, []string{"[canceled]"}},
		"of the newest turn": {execution.Task{History: history, Session: ofTurn3, SessionData: data}, true, nil},
		"of another model":   {execution.Task{History: history, Session: storedSession("claude", "claude-opus-4-5"), SessionData: data}, true, []string{"only the messages are left", "and", "[canceled]"}},
		"of another runtime": {execution.Task{History: history, Session: storedSession("codex", "claude-sonnet-4-6"), SessionData: data}, false, rebuilt},
		"lost":               {execution.Task{History: history, Session: storedSession("claude", "claude-sonnet-4-6")}, false, rebuilt},
		"none":               {execution.Task{History: history}, false, rebuilt},
	} {
		t.Run(name, func(t *testing.T) {
			c.task.Input = "x"
			e := task(c.task)
			e.ConversationID = "con_1"
			run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), e)
			require.Nil(t, failure)
			require.Contains(t, run.Job.Argv, "--resume")
			require.Equal(t, run.Job.Collect, []string{startFiles(run)[0].Path}, "the agent writes the session to the path where it found it")
			file, stored := strings.CutPrefix(string(startFiles(run)[0].Data), sessionLine)
			require.Equal(t, c.stored, stored)
			var texts []string
			for line := range strings.Lines(file) {
				var entry struct {
					Message struct{ Content []struct{ Text string } }
				}
				require.NoError(t, json.Unmarshal([]byte(line), &entry))
				texts = append(texts, entry.Message.Content[0].Text)
			}
			require.Len(t, texts, len(c.texts))
			for i, text := range c.texts {
				require.Contains(t, texts[i], text)
			}
		})
	}
	run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), task(execution.Task{Input: "x"}))
	require.Nil(t, failure)
	require.Contains(t, run.Job.Argv, "--session-id")
	require.Empty(t, startFiles(run))
}

// A session is given up only if the agent could do nothing with it.
func TestSessionRejected(t *testing.T) {
	for name, c := range map[string]struct {
		session  bool
		end      sandbox.EndReason
		egress   gateway.Summary
		rejected bool
	}{
		"not resumed":             {true, sandbox.Exited, gateway.Summary{}, true},
		"request rejected":        {true, sandbox.Exited, gateway.Summary{Calls: 1, LastStatus: 400}, true},
		"request too large":       {true, sandbox.Exited, gateway.Summary{Calls: 1, LastStatus: 413}, true},
		"out of memory":           {true, sandbox.OutOfMemory, gateway.Summary{}, true},
		"built from messages":     {false, sandbox.Exited, gateway.Summary{}, true},
		"after an answer":         {true, sandbox.Exited, gateway.Summary{Calls: 2, LastStatus: 400, Tokens: gateway.Tokens{Output: 1}}, false},
		"model overloaded":        {true, sandbox.Exited, gateway.Summary{Calls: 1, LastStatus: gateway.StatusOverloaded}, false},
		"key rejected":            {true, sandbox.Exited, gateway.Summary{Calls: 1, LastStatus: 401}, false},
		"model not reached":       {true, sandbox.Exited, gateway.Summary{Calls: 1}, false},
		"no budget":               {true, sandbox.Exited, gateway.Summary{BudgetExceeded: "tokens"}, false},
		"timed out":               {true, sandbox.TimedOut, gateway.Summary{}, false},
		"the agent ended process": {true, sandbox.Tampered, gateway.Summary{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			input := execution.Task{Input: "x", History: history}
			if c.session {
				input.Session, input.SessionData = storedSession("claude", "m"), []byte(sessionLine)
			}
			run, failure := claudeWithSummary(c.egress).Prepare(t.Context(), task(input))
			require.Nil(t, failure)
			require.Equal(t, c.rejected, run.SessionRejected(sandbox.Outcome{EndReason: c.end}))
		})
	}
}

// A first turn has no session that could be the cause.
func TestSessionRejectedInFirstTurn(t *testing.T) {
	run, failure := claudeWithSummary(gateway.Summary{}).Prepare(t.Context(), task(execution.Task{Input: "x"}))
	require.Nil(t, failure)
	require.False(t, run.SessionRejected(exitedOutcome(1, "")))
}

// Of an agent without egress, only its session file shows whether it could go on.
func TestSessionRejectedWithoutEgress(t *testing.T) {
	run, failure := agentruntime.NewRegistry(offlineRuntime("x")).Prepare(t.Context(), task(execution.Task{
		Input: "x", History: history, Session: storedSession("offline", ""), SessionData: []byte(sessionLine),
	}))
	require.Nil(t, failure)
	given := string(run.Job.Files[0].Data)
	require.True(t, run.SessionRejected(exitedOutcome(3, "")))
	require.True(t, run.SessionRejected(withFile(exitedOutcome(3, ""), run.Job.Files[0].Path, given)))
	require.False(t, run.SessionRejected(withFile(exitedOutcome(3, ""), run.Job.Files[0].Path, given+sessionLine)))
}

// startFiles returns the files that are there when the agent starts.
func startFiles(run *agentruntime.Run) []sandbox.File {
	if run.Job.Ahead == nil {
		return run.Job.Files
	}
	return append(slices.Clone(run.Job.Ahead.Files), run.Job.Files...)
}
