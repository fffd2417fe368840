package gateway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// However the provider ends a stream before its last event, the sandbox sees what the network would show: the events
// that have arrived, and then a broken connection. It is no success, and what arrived is charged.
func TestStreamWithoutLastEventIsBroken(t *testing.T) {
	answer := modelstub.Text("I will write the report now.").Thinking("What do I know?")
	for name, c := range map[string]struct {
		answer modelstub.Response
		says   string // the end of what the sandbox receives
	}{
		"reset in the text":          {modelstub.ResetMidStream("hello"), "hello"},
		"reset after the thinking":   {answer.EndingAfter(1, modelstub.Breaks), "c2lnbmVk"},
		"reset after the text":       {answer.EndingAfter(2, modelstub.Breaks), "the report now."},
		"stopped after the thinking": {answer.EndingAfter(1, modelstub.Stops), "c2lnbmVk"},
		"stopped after the text":     {answer.EndingAfter(2, modelstub.Stops), "the report now."},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(c.answer))
			w := openEndpoint(t, upstream, nil)
			got := w.post(requestBody(nil))
			require.Equal(t, http.StatusOK, got.status)
			require.True(t, got.broken)
			require.Contains(t, got.body, c.says)
			require.NotContains(t, got.body, "event: error")
			s := closeAndSummarize(t, w)
			require.True(t, s.LastCallFailed())
			require.Zero(t, s.LastStatus)
			require.EqualValues(t, 1, s.EstimatedCalls)
			require.Positive(t, s.Tokens.Output)
		})
	}
}

// A stream may end in several ways, and the sandbox may see it end late: the last event alone decides.
func TestStreamWithLastEventIsComplete(t *testing.T) {
	large := strings.Repeat("x", 300<<10) // longer than a line that is parsed
	completed := func(kind string) string {
		return `data: {"type":"` + kind + `","response":{"model":"m","output":"` + large + `","usage":{"input_tokens":1,"output_tokens":1}}}` + "\n\n"
	}
	for name, c := range map[string]struct {
		stream string
		broken bool
		last   int // Summary.LastStatus
	}{
		"message_stop":           {"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", false, 200},
		"message_stop, no names": {"data: {\"type\":\"message_stop\"}\n\n", false, 200},
		"in a text only":         {"data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"\\\"message_stop\\\"\"}}\n\n", true, 0},
		"an error event":         {"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n", false, 529},
		"completed":              {strings.Replace(completed("response.completed"), large, "", 1), false, 200},
		"incomplete":             {strings.Replace(completed("response.incomplete"), large, "", 1), false, 200},
		"failed":                 {strings.Replace(completed("response.failed"), large, "", 1), false, 500},
		"completed, large":       {"event: response.completed\n" + completed("response.completed"), false, 200},
		"completed, large, cut":  {"event: response.completed\n" + strings.TrimRight(completed("response.completed"), "\n"), true, 0},
		"created, large":         {"event: response.created\n" + completed("response.created"), true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Raw(http.StatusOK, http.Header{"Content-Type": {"text/event-stream"}}, c.stream)))
			w := openEndpoint(t, upstream, nil)
			got := w.post(requestBody(nil))
			require.Equal(t, c.stream, got.body)
			require.Equal(t, c.broken, got.broken)
			require.Equal(t, c.last, closeAndSummarize(t, w).LastStatus)
		})
	}
}

// A provider that does not close a stream after its last event, or resets it, has answered all the same.
func TestStreamEndsWithItsLastEvent(t *testing.T) {
	for name, end := range map[string]modelstub.End{"stalls": modelstub.Silent, "resets": modelstub.Breaks} {
		t.Run(name, func(t *testing.T) {
			upstream := startModel(t, modelstub.Always(modelstub.Text("hello").EndingAfter(modelstub.AllEvents, end)))
			w := openEndpoint(t, upstream, func(s *gateway.Config) { s.IdleTimeout = time.Second })
			got := w.post(requestBody(nil))
			require.False(t, got.broken)
			require.True(t, strings.HasSuffix(got.body, "data: {\"type\":\"message_stop\"}\n\n"), got.body)
			s := closeAndSummarize(t, w)
			require.Equal(t, http.StatusOK, s.LastStatus)
			require.Zero(t, s.EstimatedCalls)
		})
	}
}
