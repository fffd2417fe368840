package agentruntime_test

import (
	"archive/tar"
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

const sessionsFolder = "/home/agent/.program/sessions"

func resumingProgram(r *catalog.Runtime) {
	r.Models = []string{"m"}
	r.Conversation = &catalog.Conversation{History: catalog.HistoryStdin, Resume: &catalog.Resume{
		Argv: []string{"/bin/agent", "resume", "{session}"}, Folder: sessionsFolder, ID: `([a-z0-9]+)\.log$`,
	}}
}

// sessionTar returns a session of files, whose paths and contents alternate.
func sessionTar(t *testing.T, files ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: files[i], Mode: 0o600, Size: int64(len(files[i+1]))}))
		_, err := io.WriteString(w, files[i+1])
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// prepareTurn prepares a turn of a conversation.
func prepareTurn(t *testing.T, registry *agentruntime.Registry, input execution.Task) *agentruntime.Run {
	t.Helper()
	e := task(input)
	e.Tenant, e.ConversationID = "ada", "con_1"
	run, failure := registry.Prepare(t.Context(), e)
	require.Nil(t, failure)
	return run
}

// The program resumes its own session. What that may not have, or everything if there is none, comes on standard input.
func TestCommandResumes(t *testing.T) {
	session := func(change func(*execution.AgentSession)) *execution.AgentSession {
		s := &execution.AgentSession{Runtime: "program", Model: "another", Turn: 2, ID: "s1"}
		if change != nil {
			change(s)
		}
		return s
	}
	data := sessionTar(t, "day/s1.log", "what it did")
	ofTurn1 := []execution.Message{history[0], history[1]}
	for name, c := range map[string]struct {
		history []execution.Message
		session *execution.AgentSession
		data    []byte
		resumes bool
		says    []string
	}{
		"no history":                {nil, nil, nil, false, nil},
		"of the newest turn":        {ofTurn1, session(func(s *execution.AgentSession) { s.Turn = 1 }), data, true, nil},
		"of a failed turn":          {history, session(nil), data, true, []string{"you may remember", "| and", "without an answer", "| [canceled]"}},
		"with a later turn":         {history, session(func(s *execution.AgentSession) { s.Turn = 1 }), data, true, []string{"you may remember", "| and", "| [canceled]"}},
		"none":                      {history, nil, nil, false, []string{"| hi", "| ho", "| and", "| [canceled]"}},
		"lost":                      {history, session(nil), nil, false, []string{"| hi", "| ho", "| and", "| [canceled]"}},
		"of another runtime":        {history, session(func(s *execution.AgentSession) { s.Runtime = "claude" }), data, false, []string{"| hi", "| [canceled]"}},
		"with a name that is no ID": {history, session(func(s *execution.AgentSession) { s.ID = "--flag" }), data, false, []string{"| hi", "| [canceled]"}},
		"without an ID":             {history, session(func(s *execution.AgentSession) { s.ID = "" }), data, false, []string{"| hi", "| [canceled]"}},
		"that is no folder":         {history, session(nil), []byte("x"), false, []string{"| hi", "| [canceled]"}},
	} {
		t.Run(name, func(t *testing.T) {
			run := prepareTurn(t, commandRegistry(resumingProgram), execution.Task{Input: "go on", History: c.history, Session: c.session, SessionData: c.data})
			require.Equal(t, sessionsFolder, run.Job.Folder)
			if c.resumes {
				require.Equal(t, []string{"/bin/agent", "resume", "s1"}, run.Job.Argv)
				require.Contains(t, run.Job.Files, sandbox.File{Path: sessionsFolder + "/day/s1.log", Mode: 0o600, Data: []byte("what it did")})
			} else {
				require.Equal(t, []string{"/bin/agent", "--model=m"}, run.Job.Argv)
				require.False(t, slices.ContainsFunc(run.Job.Files, func(f sandbox.File) bool { return f.Path == sessionsFolder+"/day/s1.log" }))
			}
			if c.says == nil {
				require.Equal(t, "go on", string(run.Job.Stdin))
				return
			}
			requireInOrder(t, string(run.Job.Stdin), append(c.says, "[airlock: the new message]\ngo on")...)
		})
	}
}

// Without a conversation, and if the program reads the file, standard input is the input.
func TestCommandStdinIsUnchanged(t *testing.T) {
	run, failure := commandRegistry(resumingProgram).Prepare(t.Context(), task(execution.Task{Input: "[airlock: user]"}))
	require.Nil(t, failure)
	require.Equal(t, "[airlock: user]", string(run.Job.Stdin))
	require.Empty(t, run.Job.Folder)

	run = prepareTurn(t, commandRegistry(func(r *catalog.Runtime) {
		r.Models, r.Conversation = []string{"m"}, &catalog.Conversation{History: catalog.HistoryFile}
	}), execution.Task{Input: "go on", History: history})
	require.Equal(t, "go on", string(run.Job.Stdin))
	require.Contains(t, run.Job.Env, "AIRLOCK_HISTORY=/home/agent/.airlock/history.json")
}

// An agent that waits for the next turn is started with its session, for one conversation, one time.
func TestCommandResumesAhead(t *testing.T) {
	run := prepareTurn(t, commandRegistry(func(r *catalog.Runtime) { resumingProgram(r); r.StartAhead = true }), execution.Task{
		Input: "go on", History: history, Session: &execution.AgentSession{Runtime: "program", Turn: 2, ID: "s1"}, SessionData: sessionTar(t, "s1.log", "x"),
	})
	require.Equal(t, &sandbox.Ahead{
		Owner: "ada con_1", Once: true, Files: []sandbox.File{{Path: sessionsFolder + "/s1.log", Mode: 0o600, Data: []byte("x")}},
	}, run.Job.Ahead)
}

// However the turn ended, a session is kept if the program has changed it and can resume it.
func TestExtractCommandSession(t *testing.T) {
	given := sessionTar(t, "s1.log", "first turn")
	run := prepareTurn(t, commandRegistry(resumingProgram), execution.Task{
		Input: "x", History: history, Session: &execution.AgentSession{Runtime: "program", Turn: 2, ID: "s1"}, SessionData: given,
	})
	for name, c := range map[string]struct {
		left []byte
		id   string // empty: none is kept
	}{
		"more of the session":   {sessionTar(t, "s1.log", "first turn, second turn"), "s1"},
		"a second session":      {sessionTar(t, "s0.log", "by itself", "s1.log", "first turn"), "s1"},
		"another session":       {sessionTar(t, "s2.log", "x"), "s2"},
		"nothing new":           {given, ""},
		"no session":            {sessionTar(t), ""},
		"no file with an ID":    {sessionTar(t, "index", "x"), ""},
		"no tar":                {[]byte("x"), ""},
		"a path outside":        {sessionTar(t, "../s1.log", "x"), ""},
		"more than can be kept": {sessionTar(t, "s1.log", string(make([]byte, execution.MaxAgentSessionBytes))), ""},
	} {
		t.Run(name, func(t *testing.T) {
			for _, o := range []sandbox.Outcome{exitedOutcome(0, "ok"), {EndReason: sandbox.TimedOut}, {EndReason: sandbox.Stopped}} {
				session, data := run.ExtractSession(withFile(o, sessionsFolder, string(c.left)))
				if c.id == "" {
					require.Nil(t, session)
					continue
				}
				require.Equal(t, &execution.AgentSession{Runtime: "program", Model: "m", ID: c.id, Size: int64(len(c.left))}, session)
				require.Equal(t, c.left, data)
			}
			session, _ := run.ExtractSession(exitedOutcome(0, "ok"))
			require.Nil(t, session, "no files at all")
		})
	}
}

// The next turn begins with the messages.
func TestCommandRejectsSession(t *testing.T) {
	registry := commandRegistry(resumingProgram)
	run := prepareTurn(t, registry, execution.Task{
		Input: "x", History: history, Session: &execution.AgentSession{Runtime: "program", Turn: 2, ID: "s1"}, SessionData: sessionTar(t, "s1.log", "x"),
	})
	require.True(t, run.SessionRejected(exitedOutcome(1, "")))
	require.False(t, run.SessionRejected(withFile(exitedOutcome(1, ""), sessionsFolder, string(sessionTar(t, "s1.log", "xy")))))
	require.False(t, prepareTurn(t, registry, execution.Task{Input: "x", History: history}).SessionRejected(exitedOutcome(1, "")))
}
