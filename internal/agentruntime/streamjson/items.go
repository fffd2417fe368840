package streamjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
	"github.com/airlock-run/airlock/internal/domain/transcript"
)

// ParseItems calls onItem for each thing that a line says about the agent's work. It ignores a line that it cannot
// read, because the items are only shown to people; Parse decides whether the output is valid.
func ParseItems(line []byte, onItem func(transcript.Item)) {
	var event struct {
		Type    string `json:"type"`
		Subtype string `json:"subtype"`
		Attempt int    `json:"attempt"`
		Status  int    `json:"error_status"`
		Parent  string `json:"parent_tool_use_id"`
		Message struct {
			Content blocks `json:"content"`
		} `json:"message"`
	}
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' || !bytes.Contains(line, []byte(`"type"`)) || lenient(line, &event) != nil {
		return
	}
	switch event.Type {
	case "system":
		if event.Subtype == "api_retry" {
			onItem(transcript.Item{Kind: transcript.KindRetry, Text: retryText(event.Attempt, event.Status)})
		}
	case "assistant", "user":
		for _, b := range event.Message.Content {
			if item, ok := b.item(event.Type); ok {
				item.Parent = event.Parent
				onItem(item)
			}
		}
	}
}

func lenient(raw []byte, into any) error {
	return strictjson.Unmarshal(raw, into, allowLoneSurrogates, jsontext.AllowDuplicateNames(true))
}

func retryText(attempt, status int) string {
	text := fmt.Sprintf("retries the model request (attempt %d)", attempt)
	if status != 0 {
		text += fmt.Sprintf(" after status %d", status)
	}
	return text
}

// block is one part of a message.
type block struct {
	Type     string         `json:"type"`
	Text     string         `json:"text"`
	Thinking string         `json:"thinking"`
	ID       string         `json:"id"`
	Name     string         `json:"name"`
	Input    jsontext.Value `json:"input"`
	CallID   string         `json:"tool_use_id"`
	Content  blocks         `json:"content"`
	IsError  bool           `json:"is_error"`
	Source   struct {
		MediaType string `json:"media_type"`
		Data      string `json:"data"`
	} `json:"source"`
}

// blocks are the parts of a message. A text alone is one part.
type blocks []block

func (b *blocks) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '[' {
		var list []block
		err := lenient(raw, &list)
		*b = list
		return err
	}
	var text string
	if lenient(raw, &text) == nil && text != "" {
		*b = blocks{{Type: "text", Text: text}}
	}
	return nil
}

// item returns what the part of a message of the assistant or the user says. What the user says is not the agent's.
func (b block) item(role string) (transcript.Item, bool) {
	switch {
	case b.Type == "tool_result":
		return transcript.Item{Kind: transcript.KindToolResult, Call: b.CallID, Text: b.Content.text(), IsError: b.IsError}, true
	case role != "assistant":
		return transcript.Item{}, false
	case b.Type == "text":
		return transcript.Item{Kind: transcript.KindText, Text: b.Text}, b.Text != ""
	case b.Type == "thinking":
		return transcript.Item{Kind: transcript.KindThinking, Text: b.Thinking}, b.Thinking != ""
	case strings.HasSuffix(b.Type, "tool_use"): // server_tool_use, mcp_tool_use
		return transcript.Item{Kind: transcript.KindToolCall, Call: b.ID, Tool: b.Name, Input: json.RawMessage(b.Input)}, true
	default:
		return transcript.Item{}, false
	}
}

// text returns the texts of a tool's result, and says what else there is.
func (b blocks) text() string {
	texts := make([]string, len(b))
	for i, part := range b {
		switch {
		case part.Type == "text":
			texts[i] = part.Text
		case part.Source.Data != "":
			texts[i] = fmt.Sprintf("[%s, %d bytes]", part.Source.MediaType, len(part.Source.Data)/4*3)
		default:
			texts[i] = "[" + part.Type + "]"
		}
	}
	return strings.Join(texts, "\n")
}

// ParseSaying calls onSaying if a line has a part of a text that the agent, and not a sub-agent, is saying. begins
// means that a new text begins with it.
func ParseSaying(line []byte, onSaying func(part string, begins bool)) {
	if !bytes.Contains(line, []byte(`"stream_event"`)) {
		return
	}
	var event struct {
		Type   string `json:"type"`
		Parent string `json:"parent_tool_use_id"`
		Event  struct {
			Type  string `json:"type"`
			Block struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"content_block"`
			Delta struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"delta"`
		} `json:"event"`
	}
	if lenient(bytes.TrimSpace(line), &event) != nil || event.Type != "stream_event" || event.Parent != "" {
		return
	}
	switch e := event.Event; {
	case e.Type == "content_block_start" && e.Block.Type == "text":
		onSaying(e.Block.Text, true)
	case e.Type == "content_block_delta" && e.Delta.Type == "text_delta":
		onSaying(e.Delta.Text, false)
	}
}
