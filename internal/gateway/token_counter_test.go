package gateway

import (
	"net/http"
	"strings"
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

func TestMissingUsageIsEstimated(t *testing.T) {
	info := requestInfo{bytes: 4000, maxTokens: 100}
	for name, c := range map[string]struct {
		counter       tokenCounter
		bytesReceived int64
		want          Tokens
		estimated     bool
	}{
		"all reported": {tokenCounter{inputKnown: true, complete: true, tokens: Tokens{Input: 5, Output: 6}}, 4000, Tokens{Input: 5, Output: 6}, false},
		"no output":    {tokenCounter{inputKnown: true, tokens: Tokens{Input: 5, Output: 1}}, 400, Tokens{Input: 5, Output: 100}, true},
		"nothing":      {tokenCounter{}, 0, Tokens{Input: 1000}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, estimated := c.counter.finalTokens(info, c.bytesReceived)
			require.Equal(t, c.want, got)
			require.Equal(t, c.estimated, estimated)
		})
	}
}
