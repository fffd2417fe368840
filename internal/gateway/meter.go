package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// meter reads what the provider says was used, from an answer as it passes.
type usageMeter struct {
	model       string
	tokens      Tokens
	inputKnown  bool // the provider has named the input tokens
	complete    bool // the provider has named all tokens
	errorStatus int  // status of an error that came in the middle of a stream

	line     []byte // of a stream, so far
	skipping bool   // the line was too long to be one of those with numbers
}

// usage is the provider's count. A field that is absent changes nothing,
// because the later events of a stream name only what has changed.
type usage struct {
	Input       *int64 `json:"input_tokens"`
	Output      *int64 `json:"output_tokens"`
	CacheRead   *int64 `json:"cache_read_input_tokens"`
	CacheWrite  *int64 `json:"cache_creation_input_tokens"`
	CacheWrites *struct {
		For5m *int64 `json:"ephemeral_5m_input_tokens"`
		For1h *int64 `json:"ephemeral_1h_input_tokens"`
	} `json:"cache_creation"`
	// OpenAI counts what came from its cache among the input.
	Details *struct {
		Cached *int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
}

func (m *usageMeter) applyUsage(u *usage) {
	if u == nil {
		return
	}
	setClamped(&m.tokens.Input, u.Input)
	setClamped(&m.tokens.Output, u.Output)
	setClamped(&m.tokens.CacheRead, u.CacheRead)
	if u.Details != nil {
		setClamped(&m.tokens.CacheRead, u.Details.Cached)
		m.tokens.Input = max(0, m.tokens.Input-m.tokens.CacheRead)
	}
	if u.CacheWrites != nil {
		setClamped(&m.tokens.CacheWrite5m, u.CacheWrites.For5m)
		setClamped(&m.tokens.CacheWrite1h, u.CacheWrites.For1h)
	} else if u.CacheWrite != nil && m.tokens.CacheWrite1h == 0 {
		setClamped(&m.tokens.CacheWrite5m, u.CacheWrite)
	}
}

// absurd bounds one number, so that sums of them cannot overflow.
const maxTokenCount = 1 << 40

func setClamped(to *int64, from *int64) {
	if from != nil {
		*to = min(max(*from, 0), maxTokenCount)
	}
}

// whole reads an answer that is not a stream. An answer without a usage field,
// such as that of count_tokens, uses nothing.
func (m *usageMeter) parseBody(body []byte) {
	var answer struct {
		Model string `json:"model"`
		Usage *usage `json:"usage"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return
	}
	m.model = answer.Model
	m.applyUsage(answer.Usage)
	m.inputKnown, m.complete = true, true
}

// longestLine of a stream that can carry numbers. Lines with text may be longer and are skipped.
const maxLineSize = 256 << 10

// Write reads the next part of a stream of server-sent events.
func (m *usageMeter) Write(p []byte) (int, error) {
	for part := range bytes.Lines(p) {
		ended := part[len(part)-1] == '\n'
		if !m.skipping {
			m.line = append(m.line, part...)
			m.skipping = len(m.line) > maxLineSize
		}
		if ended {
			if !m.skipping {
				m.parseEvent(m.line)
			}
			m.line, m.skipping = m.line[:0], false
		}
	}
	return len(p), nil
}

func (m *usageMeter) parseEvent(line []byte) {
	data, ok := bytes.CutPrefix(line, []byte("data:"))
	if !ok || !bytes.Contains(data, []byte(`"usage"`)) && !bytes.Contains(data, []byte(`"error"`)) {
		return
	}
	var event struct {
		Type    string `json:"type"`
		Message struct {
			Model string `json:"model"`
			Usage *usage `json:"usage"`
		} `json:"message"`
		Usage *usage `json:"usage"`
		Error struct {
			Type string `json:"type"`
		} `json:"error"`
		Response struct { // of the Responses API
			Model string `json:"model"`
			Usage *usage `json:"usage"`
			Error struct {
				Code string `json:"code"`
			} `json:"error"`
		} `json:"response"`
	}
	if json.Unmarshal(data, &event) != nil {
		return
	}
	switch event.Type {
	case "message_start":
		m.model, m.inputKnown = event.Message.Model, true
		m.applyUsage(event.Message.Usage)
	case "message_delta":
		m.applyUsage(event.Usage)
		m.complete = true
	case "error":
		m.errorStatus = errorStatus(event.Error.Type)
	case "response.completed", "response.incomplete", "response.failed":
		answer := event.Response
		m.model, m.inputKnown = answer.Model, answer.Usage != nil
		m.applyUsage(answer.Usage)
		m.complete = answer.Usage != nil
		if event.Type == "response.failed" {
			m.errorStatus = errorStatus(answer.Error.Code)
		}
	}
}

// statusOverloaded is the Messages API's own status for having too much to do.
const statusOverloaded = 529

// statusOf gives an error in the middle of a stream the status that it would
// have had at the beginning.
func errorStatus(kind string) int {
	switch kind {
	case "overloaded_error":
		return statusOverloaded
	case "rate_limit_error", "rate_limit_exceeded":
		return http.StatusTooManyRequests
	case "timeout_error":
		return http.StatusGatewayTimeout
	default:
		return http.StatusInternalServerError
	}
}

// settled gives the tokens of a call. If the provider did not come to say them
// all, the missing ones are reckoned from bytes.
func (m *usageMeter) finalTokens(a requestInfo, bytesOut int64) (t Tokens, estimated bool) {
	t = m.tokens
	if m.complete {
		return t, false
	}
	if !m.inputKnown {
		t.Input = a.bytes / bytesPerToken
	}
	t.Output = max(t.Output, bytesOut/bytesPerToken)
	return t, true
}
