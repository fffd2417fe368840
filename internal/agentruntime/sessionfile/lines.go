package sessionfile

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
)

// line is one line of a file that an agent left. Only its place among the others is read: the content is the agent's
// own, and only agents of the same conversation read it again.
type line struct {
	raw []byte // with the line feed

	Type        string          `json:"type"`
	UUID        string          `json:"uuid"` // empty: not an entry of the conversation
	ParentUUID  string          `json:"parentUuid"`
	IsSidechain bool            `json:"isSidechain"`
	Message     json.RawMessage `json:"message"`
}

// Types of lines.
const (
	typeUser       = "user"
	typeAssistant  = "assistant"
	typeLastPrompt = "last-prompt" // names the last entry
)

// parseLines returns the lines that are JSON objects. A CLI that was killed leaves an incomplete last line.
func parseLines(data []byte) (lines []line, dropped bool) {
	for raw := range bytes.Lines(data) {
		if raw[0] != '{' || raw[len(raw)-1] != '\n' || !isJSON(raw) {
			dropped = true
			continue
		}
		l := line{raw: raw}
		_ = json.Unmarshal(raw, &l) // a field of another type is left out: an agent may write what it likes
		lines = append(lines, l)
	}
	return lines, dropped
}

func isJSON(raw []byte) bool {
	return strictjson.Validate(raw, jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)) == nil
}

func joinLines(lines []line) []byte {
	var out bytes.Buffer
	for _, l := range lines {
		out.Write(l.raw)
	}
	return out.Bytes()
}

// newestEntry returns the index of the entry from which the agent goes on; -1 if there is none.
func newestEntry(lines []line) int {
	for i, l := range slices.Backward(lines) {
		if l.UUID != "" && !l.IsSidechain {
			return i
		}
	}
	return -1
}

// chain returns the indexes of the entries that the agent reads, the oldest first: the newest one, its parent, and so
// on. complete is true if the first one has no parent.
func chain(lines []line) (indexes []int, complete bool) {
	byUUID := map[string]int{}
	for i, l := range lines {
		if l.UUID != "" {
			byUUID[l.UUID] = i
		}
	}
	for i := newestEntry(lines); i >= 0; {
		indexes = append(indexes, i)
		parent, found := byUUID[lines[i].ParentUUID]
		if !found || parent >= i { // a parent is written before its child; otherwise the chain could be a ring
			complete = lines[i].ParentUUID == ""
			break
		}
		i = parent
	}
	slices.Reverse(indexes)
	return indexes, complete
}

// toolBlocks returns the IDs of the tool calls of an entry, and those of the calls whose results it has.
func (l line) toolBlocks() (calls, results []string) {
	var m struct {
		Content json.RawMessage `json:"content"`
	}
	var blocks []struct {
		Type      string `json:"type"`
		ID        string `json:"id"`
		ToolUseID string `json:"tool_use_id"`
	}
	if json.Unmarshal(l.Message, &m) != nil || json.Unmarshal(m.Content, &blocks) != nil {
		return nil, nil // the content is a text
	}
	for _, b := range blocks {
		switch b.Type {
		case "tool_use":
			calls = append(calls, b.ID)
		case "tool_result":
			results = append(results, b.ToolUseID)
		}
	}
	return calls, results
}

// withParent returns the line with another parent.
func (l line) withParent(parent uuid.UUID) (line, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(l.raw, &fields); err != nil {
		return line{}, err
	}
	fields["parentUuid"] = json.RawMessage(`"` + parent.String() + `"`)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // the line must not grow
	err := enc.Encode(fields)
	l.raw, l.ParentUUID = out.Bytes(), parent.String()
	return l, err
}
