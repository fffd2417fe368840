package agentruntime

import (
	"io"
	"slices"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfile"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// sessionID returns the same ID for all turns of a conversation, because the agent's own session file contains it, and
// for all attempts of an execution.
func sessionID(e *execution.Execution) uuid.UUID {
	name := "airlock execution " + e.ID
	if e.ConversationID != "" {
		name = "airlock conversation " + e.ConversationID
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name))
}

// buildSessionFile returns the file from which the agent resumes the conversation: the agent session that this agent
// stored after the previous turn, or else one made from the messages. It returns nil if the conversation has no
// messages yet.
func (r *Run) buildSessionFile(t execution.Task, id uuid.UUID) ([]byte, *execution.Failure) {
	if !hasText(t.History) {
		return nil, nil
	}
	if s := t.Session; s != nil && s.Runtime == r.entry.Name && s.Model == r.Model {
		return s.Data, nil
	}
	history, err := sessionfile.Encode(id, t.History)
	if err != nil {
		return nil, newFailure(execution.CodeInvalidTask, "the history cannot be passed to the agent: %v", err)
	}
	return history, nil
}

func hasText(history []execution.Message) bool {
	return slices.ContainsFunc(history, func(m execution.Message) bool { return m.Text != "" })
}

// ExtractSession returns the agent session that the agent left for the next turn. It returns nil if there is none, or
// if the file is too large or malformed.
func (r *Run) ExtractSession(o sandbox.Outcome) *execution.AgentSession {
	i := slices.IndexFunc(o.Files, func(f sandbox.OutputFile) bool { return f.Path == r.sessionPath })
	if r.sessionPath == "" || i < 0 || o.Files[i].Content.Size() > execution.MaxAgentSessionBytes {
		return nil
	}
	data, err := io.ReadAll(o.Files[i].Content)
	if err != nil || sessionfile.Validate(data) != nil {
		return nil // the turn does not fail, because the messages are stored too
	}
	return &execution.AgentSession{Runtime: r.entry.Name, Model: r.Model, Data: data}
}
