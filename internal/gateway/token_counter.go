package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// tokenCounter reads the tokens that the provider reports from a response while it is forwarded: Write reads a stream,
// parseBody a complete body.
type tokenCounter struct {
	model       string
	tokens      Tokens
	inputKnown  bool // the provider has reported the input tokens
	complete    bool // the provider has reported all tokens
	ended       bool // a stream has had its last event
	errorStatus int  // status of an error event in a stream; 0 without one
	content     seenContent

	line     []byte // the incomplete line of a stream
	skipping bool   // the line is longer than maxLineSize
	lastName bool   // the event of the line has the name of a last event
}

// reportedUsage is the provider's count. An absent field changes nothing, because the later events of a stream report
// only what has changed.
type reportedUsage struct {
	Input       *int64 `json:"input_tokens"`
	Output      *int64 `json:"output_tokens"`
	CacheRead   *int64 `json:"cache_read_input_tokens"`
	CacheWrite  *int64 `json:"cache_creation_input_tokens"`
	CacheWrites *struct {
		For5m *int64 `json:"ephemeral_5m_input_tokens"`
		For1h *int64 `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	// OpenAI includes cached tokens in its input tokens.
	Details *struct {
		Cached *int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
}

func (c *tokenCounter) applyUsage(u *reportedUsage) {
	if u == nil {
		return
	}
	setClamped(&c.tokens.Input, u.Input)
	setClamped(&c.tokens.Output, u.Output)
	setClamped(&c.tokens.CacheRead, u.CacheRead)
	if u.Details != nil {
		setClamped(&c.tokens.CacheRead, u.Details.Cached)
		c.tokens.Input = max(0, c.tokens.Input-c.tokens.CacheRead)
	}
	if u.CacheWrites != nil {
		setClamped(&c.tokens.CacheWrite5m, u.CacheWrites.For5m)
		setClamped(&c.tokens.CacheWrite1h, u.CacheWrites.For1h)
	} else if u.CacheWrite != nil && c.tokens.CacheWrite1h == 0 {
		setClamped(&c.tokens.CacheWrite5m, u.CacheWrite)
	}
}

// maxTokenCount bounds one reported number, so that sums cannot overflow.
const maxTokenCount = 1 << 40

func setClamped(to *int64, from *int64) {
	if from != nil {
		*to = min(max(*from, 0), maxTokenCount)
	}
}

// parseBody reads a response that is not a stream. A response without a usage field, such as that of count_tokens,
// uses no tokens. If the body is not JSON, all of it counts as content.
func (c *tokenCounter) parseBody(body []byte) {
	var answer struct {
		Model string         `json:"model"`
		Usage *reportedUsage `json:"usage"`
	}
	if json.Unmarshal(body, &answer) != nil {
		c.content.text = int64(len(body))
		return
	}
	c.model = answer.Model
	c.applyUsage(answer.Usage)
	c.inputKnown, c.complete = true, true
}

// maxLineSize is the length of the longest line that is parsed, in bytes. Lines with text may be longer and are
// skipped; they report no tokens.
const maxLineSize = 256 << 10

// Write reads the next part of a stream of server-sent events. It returns no error.
func (c *tokenCounter) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		ended := part[len(part)-1] == '\n'
		if !c.skipping {
			c.line = append(c.line, part...)
			c.skipping = len(c.line) > maxLineSize
		}
		if ended {
			c.parseLine(c.line)
			c.line, c.skipping = c.line[:0], false
		}
	}
	return len(p), nil
}

// parseLine reads a complete line, or the beginning of a line that is too long. The last event of the Responses API
// repeats the whole response and may be such a line, so its name counts as well.
func (c *tokenCounter) parseLine(line []byte) {
	if name, ok := bytes.CutPrefix(line, []byte("event:")); ok {
		c.lastName = isLastEvent(string(bytes.TrimSpace(name)))
	}
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok {
		return
	}
	c.ended = c.ended || c.lastName
	if !c.skipping {
		c.parseEvent(data)
	}
}

// isLastEvent reports whether a stream ends with an event of this type, of either API.
func isLastEvent(kind string) bool {
	switch kind {
	case "message_stop", "error", "response.completed", "response.incomplete", "response.failed":
		return true
	default:
		return false
	}
}

func (c *tokenCounter) parseEvent(data []byte) {
	c.content.add(data)
	if !bytes.Contains(data, []byte(`"usage"`)) && !bytes.Contains(data, []byte(`"error"`)) &&
		!bytes.Contains(data, []byte(`"message_stop"`)) {
		return
	}
	var event struct {
		Type    string `json:"type"`
		Message struct {
			Model string         `json:"model"`
			Usage *reportedUsage `json:"usage"`
		} `json:"message"`
		Usage *reportedUsage `json:"usage"`
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
		Response struct { // Responses API
			Model string         `json:"model"`
			Usage *reportedUsage `json:"usage"`
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"response"`
	}
	if json.Unmarshal(data, &event) != nil {
		return
	}
	c.ended = c.ended || isLastEvent(event.Type)
	switch event.Type {
	case "message_start":
		c.model, c.inputKnown = event.Message.Model, true
		c.applyUsage(event.Message.Usage)
	case "message_delta":
		c.applyUsage(event.Usage)
		c.complete = true
	case "error":
		c.errorStatus = errorStatus(event.Error.Type)
	case "response.completed", "response.incomplete", "response.failed":
		answer := event.Response
		c.model, c.inputKnown = answer.Model, answer.Usage != nil
		c.applyUsage(answer.Usage)
		c.complete = answer.Usage != nil
		if event.Type == "response.failed" {
			c.errorStatus = errorStatus(answer.Error.Code)
		}
	}
}

// StatusOverloaded is the status with which the Messages API reports overload.
const StatusOverloaded = 529

// errorStatus returns the status that the error of an error event has outside of a stream.
func errorStatus(kind string) int {
	switch kind {
	case "overloaded_error":
		return StatusOverloaded
	case "rate_limit_error", "rate_limit_exceeded":
		return http.StatusTooManyRequests
	case "timeout_error":
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// seen reports whether any part of the response has used tokens.
func (c *tokenCounter) seen() bool { return c.inputKnown || c.content != seenContent{} }

// estimate returns the tokens of a call of which the provider has not reported everything. It estimates what is
// missing: the input from the bytes of the request, the output from the content that has arrived.
func (c *tokenCounter) estimate(r requestInfo) Tokens {
	t := c.tokens
	if !c.inputKnown {
		t.Input = r.maxUsage().Input
	}
	t.Output = max(t.Output, c.content.outputTokens())
	return t
}
