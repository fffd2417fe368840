// Package transcript defines the record of what an agent said and did: one schema for all runtimes, as JSON Lines.
//
// In: items that package agentruntime reads from an agent's output. Out: lines of bounded length, in which keys and
// tokens of known kinds are masked. The package stores nothing.
package transcript

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Bounds of a transcript.
const (
	MaxFieldBytes = 64 << 10 // of Text and of Input; longer ones are cut
	MaxBytes      = 64 << 20 // of one attempt, encoded; what follows is not recorded
)

// Kind says what an item is.
type Kind string

// The kinds of items.
const (
	KindText       Kind = "text"        // what the agent said
	KindThinking   Kind = "thinking"    // what it thought, where the model shows it
	KindToolCall   Kind = "tool_call"   // a tool that it called: Call, Tool, Input
	KindToolResult Kind = "tool_result" // what the tool returned: Call, Text, IsError
	KindOutput     Kind = "output"      // a line that a command printed
	KindRetry      Kind = "retry"       // a request to the model that is made again
	KindNotice     Kind = "notice"      // what Airlock has to say, such as what is missing here
	KindEnd        Kind = "end"         // the attempt has ended, and Text says how; its last item
)

// Item is one line of a transcript. Empty fields are absent.
type Item struct {
	Number  int       `json:"number"`  // counts from 1 in each attempt
	Attempt int       `json:"attempt"` // of the execution
	Time    time.Time `json:"time"`    // when the executor read it, by its clock
	Kind    Kind      `json:"type"`
	// Parent is the Call of the tool call by which a sub-agent was started, if this is what the sub-agent said or did.
	Parent  string          `json:"parent,omitzero"`
	Call    string          `json:"call,omitzero"` // ID of a tool call, unique in the conversation
	Tool    string          `json:"tool,omitzero"`
	Input   json.RawMessage `json:"input,omitzero"`
	IsError bool            `json:"isError,omitzero"`
	Text    string          `json:"text,omitzero"`
	// Truncated means that Text or Input was longer than MaxFieldBytes. A cut Input is a JSON string.
	Truncated bool `json:"truncated,omitzero"`
}

// Encode returns the line of an item, with its newline. Long fields are cut, and keys are masked.
func Encode(i Item) []byte {
	i.Text = Mask(strings.ToValidUTF8(i.Text, "\uFFFD"))
	i.Text, i.Truncated = cut(i.Text, i.Truncated)
	i.Call, _ = cutTo(i.Call, maxIDBytes)
	i.Parent, _ = cutTo(i.Parent, maxIDBytes)
	i.Tool, _ = cutTo(Mask(i.Tool), maxIDBytes)
	i.Input, i.Truncated = encodeInput(i.Input, i.Truncated)
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(i); err != nil {
		i = Item{Number: i.Number, Attempt: i.Attempt, Time: i.Time, Kind: KindNotice, Text: fmt.Sprintf("An item could not be recorded: %v.", err)}
		line.Reset()
		_ = encoder.Encode(i) // never fails: it has only texts and numbers
	}
	return line.Bytes()
}

// maxIDBytes bounds the short fields, which an agent chooses.
const maxIDBytes = 256

func encodeInput(input json.RawMessage, truncated bool) (json.RawMessage, bool) {
	if len(input) == 0 {
		return nil, truncated
	}
	masked := Mask(string(input))
	if len(masked) <= MaxFieldBytes && json.Valid([]byte(masked)) {
		return json.RawMessage(masked), truncated
	}
	text, truncated := cut(strings.ToValidUTF8(masked, "\uFFFD"), truncated)
	encoded, err := json.Marshal(text)
	if err != nil {
		return json.RawMessage(`""`), true
	}
	return encoded, truncated
}

func cut(text string, truncated bool) (string, bool) {
	text, wasCut := cutTo(text, MaxFieldBytes)
	return text, truncated || wasCut
}

// cutTo cuts a text to maxBytes, between two letters.
func cutTo(text string, maxBytes int) (string, bool) {
	if len(text) <= maxBytes {
		return text, false
	}
	end := maxBytes
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end], true
}
