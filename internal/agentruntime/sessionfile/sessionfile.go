// Package sessionfile writes and reads the session file from which an agent resumes a conversation. The format is that
// of the Claude Code CLI: two lines of JSON per turn. Encode turns messages into a file, Decode turns such a file into
// messages, and Validate checks a file that an agent left. The package touches no file system. With CLI 2.1.197, the
// messages of a file made by Encode reach the model with their roles.
package sessionfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// projectDir is the folder of the sessions, relative to the agent's home directory. The CLI derives it from the agent's
// working directory, sandbox.WorkspaceDir.
const projectDir = ".claude/projects/-workspace"

// Path returns the path of a session file.
func Path(home string, id uuid.UUID) string {
	return path.Join(home, projectDir, id.String()+".jsonl")
}

// entry is one message. The CLI follows the chain of parents from the last line to the first, so a missing parent would
// drop the earlier messages.
type entry struct {
	ParentUUID  *uuid.UUID `json:"parentUuid"`
	IsSidechain bool       `json:"isSidechain"`
	UserType    string     `json:"userType"`
	CWD         string     `json:"cwd"`
	SessionID   uuid.UUID  `json:"sessionId"`
	Version     string     `json:"version"`
	Type        string     `json:"type"`
	Message     message    `json:"message"`
	UUID        uuid.UUID  `json:"uuid"`
	Timestamp   time.Time  `json:"timestamp"`
}

type message struct {
	ID      string  `json:"id,omitempty"`
	Type    string  `json:"type,omitempty"`
	Role    string  `json:"role"`
	Model   string  `json:"model,omitempty"`
	Content []block `json:"content"`
}

type block struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

// Encode returns the session file for a history. The same history gives the same bytes: the times and IDs in it have no
// meaning. Messages without text are omitted, because the Messages API rejects them.
func Encode(id uuid.UUID, history []execution.Message) ([]byte, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	var parent *uuid.UUID
	for i, m := range history {
		if m.Text == "" {
			continue
		}
		messageID := uuid.NewSHA1(id, fmt.Appendf(nil, "message %d", i))
		l := entry{
			ParentUUID: parent, UserType: "external", CWD: sandbox.WorkspaceDir, SessionID: id, Version: "2.1.197",
			Type: string(m.Role), UUID: messageID, Timestamp: time.Unix(int64(i), 0).UTC(),
			Message: message{Role: string(m.Role), Content: []block{{Type: "text", Text: m.Text}}},
		}
		if m.Role == execution.RoleAssistant {
			l.Message.ID, l.Message.Type, l.Message.Model = fmt.Sprintf("msg_%d", i), "message", "<synthetic>"
		}
		if err := enc.Encode(l); err != nil {
			return nil, fmt.Errorf("encode message %d of the history: %w", i, err)
		}
		parent = &messageID
	}
	return out.Bytes(), nil
}

// ErrMalformed says that a file is not a session.
var ErrMalformed = errors.New("malformed session file")

// Validate returns an error unless every line of a file that an agent left is a JSON object. It checks nothing else:
// the content is the agent's own, and only agents of the same conversation read it again.
func Validate(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return fmt.Errorf("%w: the file is empty", ErrMalformed)
	}
	for raw := range bytes.Lines(data) {
		if raw[0] != '{' {
			return fmt.Errorf("%w: a line is not a JSON object", ErrMalformed)
		}
		if err := strictjson.Validate(raw, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	return nil
}

// Decode returns the history from a file that Encode wrote.
func Decode(data []byte) ([]execution.Message, error) {
	var history []execution.Message
	for raw := range bytes.Lines(data) {
		var l entry
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		m := execution.Message{Role: execution.Role(l.Message.Role)}
		for _, b := range l.Message.Content {
			m.Text += b.Text
		}
		history = append(history, m)
	}
	return history, nil
}
