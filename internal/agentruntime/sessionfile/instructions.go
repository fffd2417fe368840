package sessionfile

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// WithInstructions returns a session file with which an agent follows other instructions than it had. The CLI stores
// the system prompt of a turn, with the instructions in it, and sends that again in later turns, whatever its
// instructions are then. So the stored prompts with other instructions are left out. A file without such a prompt is
// returned as it is.
func WithInstructions(data []byte, instructions string) ([]byte, error) {
	if instructions == "" || !bytes.Contains(data, []byte(promptSnapshot)) {
		return data, nil // an agent has instructions; a task without any has never had them
	}
	lines, _ := parseLines(data)
	parents := map[string]string{} // of the lines that are left out, by their UUID
	for _, l := range lines {
		if l.ParentUUID != "" && l.hasOtherInstructions(instructions) {
			parents[l.UUID] = l.ParentUUID
		}
	}
	if len(parents) == 0 {
		return data, nil
	}
	var rest []line
	for _, l := range lines {
		if _, out := parents[l.UUID]; out || l.Type == typeLastPrompt { // a last prompt could name what is left out
			continue
		}
		parent := l.ParentUUID
		for range parents { // an agent may write a ring
			next, out := parents[parent]
			if !out {
				break
			}
			parent = next
		}
		if parent != l.ParentUUID {
			id, err := uuid.Parse(parent)
			if err != nil {
				return data, nil // not a file that the CLI wrote: it is left as it is
			}
			if l, err = l.withParent(id); err != nil {
				return nil, err
			}
		}
		rest = append(rest, l)
	}
	return joinLines(rest), nil
}

// promptSnapshot is the type of an attachment with the system prompt of a turn.
const promptSnapshot = "prompt_snapshot"

// hasOtherInstructions reports whether a line has a system prompt without these instructions.
func (l line) hasOtherInstructions(instructions string) bool {
	if !bytes.Contains(l.raw, []byte(promptSnapshot)) {
		return false
	}
	var entry struct {
		Attachment struct {
			Type         string   `json:"type"`
			SystemPrompt []string `json:"systemPrompt"`
		} `json:"attachment"`
	}
	if json.Unmarshal(l.raw, &entry) != nil || entry.Attachment.Type != promptSnapshot {
		return false
	}
	return !slices.ContainsFunc(entry.Attachment.SystemPrompt, func(part string) bool {
		return strings.TrimSpace(part) == strings.TrimSpace(instructions)
	})
}
