package gateway

import (
	"bytes"
	"encoding/json"
	"strings"
)

// seenContent is the content of a response that has arrived so far, without the framing of its events. It is what the
// output tokens are estimated from if the response ends before the provider has reported them.
type seenContent struct {
	text     int64 // bytes of text and of tool calls
	thinking int64 // bytes of thinking, or of a summary of it
	sealed   int64 // bytes of thinking that only the provider can read
	events   int64 // events with content
}

// outputTokens estimates the output tokens. The provider sends thinking open, sealed or both; the larger counts. Each
// event has at least one token.
func (c seenContent) outputTokens() int64 {
	size := c.text + max(c.thinking, c.sealed)
	return max((size+bytesPerToken-1)/bytesPerToken, c.events)
}

// contentEvent has the fields of an event that carry content, of both APIs.
type contentEvent struct {
	Type  string       `json:"type"`
	Delta contentDelta `json:"delta"`
	Block struct {
		Data string `json:"data"` // redacted thinking
	} `json:"content_block"`
	Item struct {
		Sealed string `json:"encrypted_content"` // reasoning
	} `json:"item"`
}

// contentDelta is an object in the Messages API and a string in the Responses API.
type contentDelta struct {
	Text      string `json:"text"`
	Input     string `json:"partial_json"`
	Thinking  string `json:"thinking"`
	Signature string `json:"signature"`
}

func (d *contentDelta) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &d.Text)
	}
	type fields contentDelta
	return json.Unmarshal(data, (*fields)(d))
}

// hasContent reports whether the data of an event may carry content. It saves parsing the other events.
func hasContent(data []byte) bool {
	return bytes.Contains(data, []byte(`delta"`)) || bytes.Contains(data, []byte(`"data"`)) ||
		bytes.Contains(data, []byte(`"encrypted_content"`))
}

// add counts the content of one event. The last event of a response repeats all of its content and is not counted.
func (c *seenContent) add(data []byte) {
	var e contentEvent
	if !hasContent(data) || json.Unmarshal(data, &e) != nil {
		return
	}
	before := *c
	switch {
	case e.Type == "content_block_start":
		c.sealed += decodedSize(e.Block.Data)
	case e.Type == "response.output_item.done":
		c.sealed += decodedSize(e.Item.Sealed)
	case strings.HasPrefix(e.Type, "response.reasoning") && strings.HasSuffix(e.Type, ".delta"):
		c.thinking += int64(len(e.Delta.Text))
	case e.Type == "content_block_delta", strings.HasSuffix(e.Type, ".delta"):
		c.text += int64(len(e.Delta.Text) + len(e.Delta.Input))
		c.thinking += int64(len(e.Delta.Thinking))
		c.sealed += decodedSize(e.Delta.Signature)
	}
	if c.text != before.text || c.thinking != before.thinking {
		c.events++
	}
}

// decodedSize returns the bytes of a base64 text.
func decodedSize(base64 string) int64 { return int64(len(base64)) * 3 / 4 }
