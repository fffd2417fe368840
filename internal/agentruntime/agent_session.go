package agentruntime

import (
	"bytes"
	"io"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// sessionID is the ID of the session in every sandbox: there is one in each. An agent that is started before its job is
// known has it, too.
var sessionID = uuid.NewSHA1(uuid.NameSpaceOID, []byte("airlock session"))

// sessionPath is the path of the agent's session file in the sandbox.
var sessionPath = sessionfile.Path(sandbox.HomeDir, sessionID)

// Notes that tell the agent that it does not remember what it did with tools.
const (
	rebuiltNote  = "[The history of this conversation was rebuilt from its newest messages. What you did with tools is not in it.]"
	continueNote = "[Of the turns that follow only the messages are left. What you did with tools is not in them.]"
)

// buildSessionFile returns the file from which the agent resumes the conversation: the session that an agent of this
// runtime left, with the messages since then, or else one made from the messages. It returns nil if the conversation
// has no messages yet.
func (r *Run) buildSessionFile(t execution.Task) ([]byte, *execution.Failure) {
	if !hasText(t.History) {
		return nil, nil
	}
	var file []byte
	var err error
	if s := t.Session; s != nil && s.Runtime == r.entry.Name && t.SessionData != nil {
		later := messagesSince(t.History, s.Turn)
		note := ""
		if len(later) > 0 && later[len(later)-1].Turn > s.Turn {
			note = continueNote
		}
		if file, err = sessionfile.Append(t.SessionData, sessionID, note, later); err == nil {
			file, err = sessionfile.WithInstructions(file, t.Instructions)
		}
	} else {
		file, err = sessionfile.Encode(sessionID, rebuiltNote, t.History)
	}
	if err != nil {
		return nil, newFailure(execution.CodeInvalidTask, "the history cannot be passed to the agent: %v", err)
	}
	return file, nil
}

func hasText(history []execution.Message) bool {
	return slices.ContainsFunc(history, func(m execution.Message) bool { return m.Text != "" })
}

// messagesSince returns what a session does not have that an agent left in a turn: the later messages, and how that
// turn ended if it failed.
func messagesSince(history []execution.Message, turn int) (later []execution.Message) {
	for _, m := range history {
		if m.Turn > turn || m.Turn == turn && m.Failed {
			later = append(later, m)
		}
	}
	return later
}

// ExtractSession returns the session that the agent left for the next turn, however the turn ended, and its content.
// The caller sets where it comes from and where it is stored. It returns nil if the agent left none, or one that
// cannot be read, or one without this turn: the agent was killed before it had written anything.
func (r *Run) ExtractSession(o sandbox.Outcome) (*execution.AgentSession, []byte) {
	i := slices.IndexFunc(o.Files, func(f sandbox.OutputFile) bool { return f.Path == r.contract.sessionPath(r) })
	if !r.collectsSession || i < 0 {
		return nil, nil
	}
	session, data := r.contract.extractSession(r, o.Files[i].Content)
	if session == nil {
		return nil, nil // the turn does not fail, because the messages are stored too
	}
	session.Runtime, session.Model, session.Size = r.entry.Name, r.Model, int64(len(data))
	return session, data
}

func (streamJSON) sessionPath(*Run) string { return sessionPath }

func (streamJSON) extractSession(r *Run, file *io.SectionReader) (*execution.AgentSession, []byte) {
	data, err := sessionfile.Read(file, sessionID, execution.MaxAgentSessionBytes)
	if err != nil || !r.hasNewMessage(data) {
		return nil, nil
	}
	return &execution.AgentSession{}, data
}

// hasNewMessage reports whether a session has more than the agent was given. A session that was cut has.
func (r *Run) hasNewMessage(session []byte) bool {
	later, ok := bytes.CutPrefix(session, r.sessionFile)
	return !ok || sessionfile.HasUserMessage(later)
}

// SessionRejected reports whether a turn that failed did so because of the session that the agent was given, as it
// seems: the agent ended before the model had answered anything, and the model did not fail by itself. An agent without
// egress has to have added nothing to the session.
func (r *Run) SessionRejected(o sandbox.Outcome) bool {
	switch o.EndReason {
	case sandbox.Exited, sandbox.Settled, sandbox.OutOfMemory:
	default:
		return false
	}
	if r.sessionFile == nil {
		return false
	}
	if r.egress == nil {
		added, _ := r.ExtractSession(o)
		return added == nil
	}
	s := r.Egress()
	if s.Tokens.Output > 0 || s.BudgetExceeded != "" {
		return false
	}
	return s.Calls == 0 || s.LastStatus == http.StatusBadRequest || s.LastStatus == http.StatusRequestEntityTooLarge
}
