package gateway

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

const (
	started = `data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":10,"cache_read_input_tokens":3,"output_tokens":1}}}`
	delta   = `data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":7}}`
	text    = `data: {"type":"content_block_delta","delta":{"type":"text_delta","text":"about \"usage\" and \"error\""}}`
)

func TestTokenCounterStream(t *testing.T) {
	for name, c := range map[string]struct {
		stream      string
		tokens      Tokens
		inputKnown  bool
		complete    bool
		errorStatus int
	}{
		"complete":       {started + "\n\n" + text + "\n\n" + delta + "\n\n", Tokens{Input: 10, CacheRead: 3, Output: 7}, true, true, 0},
		"CR and LF":      {started + "\r\n\r\n" + delta + "\r\n\r\n", Tokens{Input: 10, CacheRead: 3, Output: 7}, true, true, 0},
		"without spaces": {strings.ReplaceAll(started+"\n\n"+delta+"\n\n", "data: ", "data:"), Tokens{Input: 10, CacheRead: 3, Output: 7}, true, true, 0},
		"ends early":     {started + "\n\n" + text + "\n\n", Tokens{Input: 10, CacheRead: 3, Output: 1}, true, false, 0},
		"ends in a line": {started + "\n\n" + delta[:40], Tokens{Input: 10, CacheRead: 3, Output: 1}, true, false, 0},
		"empty":          {"", Tokens{}, false, false, 0},
		"input in the last event": {
			started + "\n" + `data: {"type":"message_delta","usage":{"input_tokens":12,"output_tokens":7}}` + "\n",
			Tokens{Input: 12, CacheRead: 3, Output: 7}, true, true, 0,
		},
		"after a line that is skipped": {
			started + "\ndata: " + strings.Repeat("x", 2*maxLineSize) + "\n" + delta + "\n",
			Tokens{Input: 10, CacheRead: 3, Output: 7}, true, true, 0,
		},
		"not JSON":      {"data: {\"usage\"\n" + started + "\n", Tokens{Input: 10, CacheRead: 3, Output: 1}, true, false, 0},
		"another event": {`data: {"type":"content_block_delta","usage":{"output_tokens":0}}` + "\n", Tokens{}, false, false, 0},
		"overloaded":    {`data: {"type":"error","error":{"type":"overloaded_error"}}` + "\n", Tokens{}, false, false, StatusOverloaded},
		"rate limit":    {`data: {"type":"error","error":{"type":"rate_limit_error"}}` + "\n", Tokens{}, false, false, http.StatusTooManyRequests},
		"a time-out":    {`data: {"type":"error","error":{"type":"timeout_error"}}` + "\n", Tokens{}, false, false, http.StatusGatewayTimeout},
		"another error": {`data: {"type":"error","error":{"type":"from_the_future"}}` + "\n", Tokens{}, false, false, http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			var counter tokenCounter
			n, err := counter.Write([]byte(c.stream))
			require.NoError(t, err)
			require.Equal(t, len(c.stream), n)
			require.Equal(t, c.tokens, counter.tokens)
			require.Equal(t, c.inputKnown, counter.inputKnown)
			require.Equal(t, c.complete, counter.complete)
			require.Equal(t, c.errorStatus, counter.errorStatus)
		})
	}
}

func TestTokenCounterBody(t *testing.T) {
	for name, c := range map[string]struct {
		body     string
		tokens   Tokens
		complete bool
	}{
		"a message":    {`{"model":"m","usage":{"input_tokens":1,"output_tokens":2}}`, Tokens{Input: 1, Output: 2}, true},
		"a count":      {`{"input_tokens":5000}`, Tokens{}, true},
		"no usage":     {`{"usage":null}`, Tokens{}, true},
		"huge":         {`{"usage":{"input_tokens":9223372036854775807}}`, Tokens{Input: maxTokenCount}, true},
		"not JSON":     {`<html>`, Tokens{}, false},
		"wrong types":  {`{"usage":{"input_tokens":"many"}}`, Tokens{}, false},
		"out of range": {`{"usage":{"input_tokens":1e99}}`, Tokens{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var counter tokenCounter
			counter.parseBody([]byte(c.body))
			require.Equal(t, c.tokens, counter.tokens)
			require.Equal(t, c.complete, counter.complete)
		})
	}
}

// The bytes of content count, and not those of the events around it.
func TestContentOfStreams(t *testing.T) {
	event := func(kind, fields string) string { return fmt.Sprintf(`data: {"type":%q,%s}`+"\n\n", kind, fields) }
	block := func(delta string) string {
		return event("content_block_delta", `"index":0,"delta":{`+delta+`}`)
	}
	word := strings.Repeat("w", 40)  // 10 tokens
	seal := strings.Repeat("A", 160) // base64 of 120 bytes: 30 tokens
	for name, c := range map[string]struct {
		stream string
		tokens int64
	}{
		"nothing":                  {started + "\n\n", 1},
		"text":                     {strings.Repeat(block(`"type":"text_delta","text":"`+word+`"`), 3), 30},
		"escapes":                  {block(`"type":"text_delta","text":"` + strings.Repeat(`\u0041`, 40) + `"`), 10},
		"a tool call":              {block(`"type":"input_json_delta","partial_json":"`+word+`"`) + block(`"type":"input_json_delta","partial_json":""`), 10},
		"short events":             {strings.Repeat(block(`"type":"text_delta","text":"a"`), 20), 20},
		"thinking":                 {block(`"type":"thinking_delta","thinking":"` + word + `"`), 10},
		"thinking and its seal":    {block(`"type":"thinking_delta","thinking":"`+word+`"`) + block(`"type":"signature_delta","signature":"`+seal+`"`), 30},
		"redacted thinking":        {event("content_block_start", `"content_block":{"type":"redacted_thinking","data":"`+seal+`"}`), 30},
		"Responses: text":          {event("response.output_text.delta", `"delta":"`+word+`","obfuscation":"`+word+`"`), 10},
		"Responses: a tool call":   {event("response.function_call_arguments.delta", `"delta":"`+word+`"`), 10},
		"Responses: reasoning":     {event("response.reasoning_summary_text.delta", `"delta":"`+word+`"`) + event("response.output_item.done", `"item":{"type":"reasoning","encrypted_content":"`+seal+`"}`), 30},
		"Responses: a repetition":  {event("response.output_text.done", `"text":"`+word+`"`) + event("response.output_item.done", `"item":{"type":"message","content":[{"text":"`+word+`"}]}`), 0},
		"a delta of another shape": {event("content_block_delta", `"delta":[1]`) + event("response.output_text.delta", `"delta":5`), 0},
	} {
		t.Run(name, func(t *testing.T) {
			var counter tokenCounter
			_, err := counter.Write([]byte(c.stream))
			require.NoError(t, err)
			require.Equal(t, c.tokens, counter.estimate(requestInfo{}).Output)
		})
	}
}

func TestMissingUsageIsEstimated(t *testing.T) {
	info := requestInfo{bytes: 4000, maxTokens: 100}
	content := seenContent{text: 400}
	for name, c := range map[string]struct {
		ended     *exchange
		want      Tokens
		estimated bool
	}{
		"all reported":              {&exchange{stopped: true, counter: tokenCounter{inputKnown: true, complete: true, tokens: Tokens{Input: 5, Output: 6}}}, Tokens{Input: 5, Output: 6}, false},
		"a stream, stopped":         {&exchange{stopped: true, stream: true, counter: tokenCounter{inputKnown: true, content: content, tokens: Tokens{Input: 5, Output: 1}}}, Tokens{Input: 5, Output: 100}, true},
		"a stream before its start": {&exchange{stopped: true, stream: true}, Tokens{Input: 1000}, true},
		"a stream, broken":          {&exchange{stream: true, counter: tokenCounter{inputKnown: true, content: content, tokens: Tokens{Input: 5, Output: 1}}}, Tokens{Input: 5, Output: 100}, true},
		"a whole response, stopped": {&exchange{stopped: true, counter: tokenCounter{content: content}}, Tokens{Input: 1000, Output: 100}, true},
		"a whole response, broken":  {&exchange{counter: tokenCounter{content: seenContent{text: 40}}}, Tokens{Input: 1000, Output: 10}, true},
		"rejected":                  {&exchange{rejected: true, stopped: true}, Tokens{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			c.ended.sent = new(atomic.Bool)
			c.ended.sent.Store(true)
			got, estimated := c.ended.finalTokens(info)
			require.Equal(t, c.want, got)
			require.Equal(t, c.estimated, estimated)
		})
	}
	unsent := exchange{sent: new(atomic.Bool), stopped: true}
	got, estimated := unsent.finalTokens(info)
	require.Zero(t, got)
	require.False(t, estimated)
}
