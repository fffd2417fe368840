// Package sessionfile writes and reads the session file from which an agent resumes a conversation. The format is that
// of the Claude Code CLI: lines of JSON, each of which names its parent. Encode turns messages into a file, and Decode
// turns such a file into messages. Read repairs a file that an agent left, and cuts one that is too long; Append adds
// messages to it. The package touches no file system. With CLI 2.1.332, the messages of a file made by Encode or Append
// reach the model with their roles.
package sessionfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/google/uuid"

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
	IsMeta      bool       `json:"isMeta,omitempty"` // the user did not write it
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

// Encode returns the session file for a history. It begins with a note to the agent, unless that is empty. The same
// history gives the same bytes: the times and IDs in it have no meaning. Messages without text are omitted, because the
// Messages API rejects them.
func Encode(id uuid.UUID, note string, history []execution.Message) ([]byte, error) {
	w := writer{id: id, seed: id}
	if err := w.writeConversation(note, history); err != nil {
		return nil, err
	}
	return w.out.Bytes(), nil
}

// writer writes entries, each as the child of the one before.
type writer struct {
	id     uuid.UUID
	seed   uuid.UUID // from which the IDs of the entries follow
	parent *uuid.UUID
	out    bytes.Buffer
}

// writeNote writes a text for the agent that the user did not write.
func (w *writer) writeNote(text string) error {
	l := w.entry("note", execution.RoleUser, text)
	l.IsMeta = true
	return w.write(l)
}

// writeConversation writes a note, unless it is empty, and messages.
func (w *writer) writeConversation(note string, history []execution.Message) error {
	if note != "" {
		if err := w.writeNote(note); err != nil {
			return err
		}
	}
	for i, m := range history {
		if m.Text == "" {
			continue
		}
		l := w.entry(fmt.Sprintf("message %d", i), m.Role, m.Text)
		l.Timestamp = time.Unix(int64(i), 0).UTC()
		if m.Role == execution.RoleAssistant {
			l.Message.ID, l.Message.Type, l.Message.Model = "msg_"+l.UUID.String(), "message", "<synthetic>"
		}
		if err := w.write(l); err != nil {
			return fmt.Errorf("encode message %d of the history: %w", i, err)
		}
	}
	return nil
}

func (w *writer) entry(name string, role execution.Role, text string) entry {
	return entry{
		ParentUUID: w.parent, UserType: "external", CWD: sandbox.WorkspaceDir, SessionID: w.id, Version: "2.1.197",
		Type: string(role), UUID: uuid.NewSHA1(w.seed, []byte(name)), Timestamp: time.Unix(0, 0).UTC(),
		Message: message{Role: string(role), Content: []block{{Type: "text", Text: text}}},
	}
}

func (w *writer) write(l entry) error {
	enc := json.NewEncoder(&w.out)
	enc.SetEscapeHTML(false)
	w.parent = &l.UUID
	return enc.Encode(l)
}

// ErrMalformed says that a file is not a session.
var ErrMalformed = errors.New("malformed session file")

// Decode returns the history from a file that Encode wrote, without the note.
func Decode(data []byte) ([]execution.Message, error) {
	var history []execution.Message
	for raw := range bytes.Lines(data) {
		var l entry
		if err := json.Unmarshal(raw, &l); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if l.IsMeta {
			continue
		}
		m := execution.Message{Role: execution.Role(l.Message.Role)}
		for _, b := range l.Message.Content {
			m.Text += b.Text
		}
		history = append(history, m)
	}
	return history, nil
}
