package modelstub_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, script modelstub.Script) *modelstub.Server {
	t.Helper()
	s := modelstub.Start(script)
	t.Cleanup(s.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return s
}

func post(ctx context.Context, t *testing.T, s *modelstub.Server, body string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL().JoinPath("v1/messages").String(), strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("X-Api-Key", "key")
	return http.DefaultClient.Do(r)
}

func read(t *testing.T, s *modelstub.Server, body string) (int, string) {
	t.Helper()
	got, err := post(t.Context(), t, s, body)
	require.NoError(t, err)
	defer got.Body.Close()
	data, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	return got.StatusCode, string(data)
}

const (
	single = `{"model":"m","system":"be brief","tools":[{"name":"Bash"}],"messages":[{"role":"user","content":"hi"}]}`
	stream = `{"model":"m","stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"tool_result","content":[{"type":"text","text":"b"}]}]}]}`
)

func TestResponseWithoutStream(t *testing.T) {
	s := start(t, modelstub.Always(modelstub.Text("hello")))
	status, body := read(t, s, single)
	require.Equal(t, http.StatusOK, status)
	require.JSONEq(t, `{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hello"}],
		"stop_reason":"end_turn","stop_sequence":null,
		"usage":{"input_tokens":100,"output_tokens":20,"cache_read_input_tokens":0,"cache_creation_input_tokens":0}}`, body)
}

// events returns the types and the data of the events of a stream, in their order.
func events(t *testing.T, body string) (kinds []string, data []map[string]any) {
	t.Helper()
	for line := range strings.Lines(body) {
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			var event map[string]any
			require.NoError(t, json.Unmarshal([]byte(text), &event))
			kinds, data = append(kinds, event["type"].(string)), append(data, event)
		}
	}
	return kinds, data
}

func TestStreamedResponse(t *testing.T) {
	long := strings.Repeat("x", 5000)
	_, body := read(t, start(t, modelstub.Always(modelstub.Text(long))), stream)
	kinds, data := events(t, body)
	require.Equal(t, []string{
		"message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
	}, kinds)
	text := ""
	for _, event := range data[2:4] {
		text += event["delta"].(map[string]any)["text"].(string)
	}
	require.Equal(t, long, text)
	require.EqualValues(t, 20, data[5]["usage"].(map[string]any)["output_tokens"])
}

func TestToolUse(t *testing.T) {
	s := start(t, modelstub.Always(modelstub.ToolUse("Bash", map[string]string{"command": "id"})))
	_, body := read(t, s, single)
	require.Contains(t, body, `"stop_reason":"tool_use"`)
	require.Contains(t, body, `"input":{"command":"id"}`)
	_, body = read(t, s, stream)
	_, data := events(t, body)
	require.Equal(t, `{"command":"id"}`, data[2]["delta"].(map[string]any)["partial_json"])

	s = start(t, modelstub.Always(modelstub.ToolUse("Bash", map[string]string{}).Saying("I look.")))
	_, body = read(t, s, single)
	require.Contains(t, body, `"content":[{"type":"text","text":"I look."},{"type":"tool_use"`)
	require.Contains(t, body, `"stop_reason":"tool_use"`)
}

func TestStatusAndSequence(t *testing.T) {
	s := start(t, modelstub.Sequence(modelstub.Status(529, "overloaded_error", "busy"), modelstub.Text("first"), modelstub.Text("last")))
	status, body := read(t, s, single)
	require.Equal(t, 529, status)
	require.JSONEq(t, `{"type":"error","error":{"type":"overloaded_error","message":"busy"}}`, body)
	for _, want := range []string{"first", "last", "last"} {
		_, body = read(t, s, single)
		require.Contains(t, body, want)
	}
}

func TestByPrompt(t *testing.T) {
	s := start(t, modelstub.ByPrompt(map[string]modelstub.Script{"hi": modelstub.Always(modelstub.Text("hello"))}))
	status, _ := read(t, s, single)
	require.Equal(t, http.StatusOK, status)
	status, _ = read(t, s, stream)
	require.Equal(t, http.StatusBadRequest, status)
}

func TestRequestsAreRecorded(t *testing.T) {
	s := start(t, modelstub.Always(modelstub.Text("hello")))
	read(t, s, single)
	read(t, s, stream)
	requests := s.Requests()
	require.Len(t, requests, 2)
	require.Equal(t, "key", requests[0].APIKey())
	require.Equal(t, "/v1/messages", requests[0].Target)
	require.Equal(t, "be brief", requests[0].System)
	require.Equal(t, []string{"Bash"}, requests[0].Tools)
	require.Equal(t, "hi", requests[0].Prompt())
	require.Equal(t, 2, requests[1].Number)
	require.True(t, requests[1].Stream)
	require.Equal(t, "a\nb", requests[1].Prompt())
	require.Equal(t, 1, (<-s.Received()).Number)
}

func TestHangEndsOnDisconnect(t *testing.T) {
	for name, response := range map[string]modelstub.Response{"hang": modelstub.Hang(), "stall": modelstub.Stall("hello")} {
		t.Run(name, func(t *testing.T) {
			s := start(t, modelstub.Always(response))
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				if got, err := post(ctx, t, s, stream); err == nil {
					_, _ = io.Copy(io.Discard, got.Body)
					_ = got.Body.Close()
				}
			}()
			<-s.Received()
			cancel()
			<-done
			select {
			case <-s.Disconnected():
			case <-time.After(time.Minute):
				t.Fatal("the disconnect was not reported")
			}
		})
	}
}

func TestResetMidStream(t *testing.T) {
	s := start(t, modelstub.Always(modelstub.ResetMidStream("hello")))
	got, err := post(t.Context(), t, s, stream)
	require.NoError(t, err)
	defer got.Body.Close()
	_, err = io.ReadAll(bufio.NewReader(got.Body))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
}

func TestInvalidRequestIsRejected(t *testing.T) {
	s := start(t, modelstub.Always(modelstub.Text("hello")))
	status, _ := read(t, s, "hello")
	require.Equal(t, http.StatusBadRequest, status)
	require.Empty(t, s.Requests())
}

// A stream ends after the chosen block, in the chosen way.
func TestStreamEndingEarly(t *testing.T) {
	answer := modelstub.Text("hello").Thinking("well")
	for name, c := range map[string]struct {
		response modelstub.Response
		breaks   bool
		last     string // type of the last event
		count    int    // events
	}{
		"after the thinking":            {answer.EndingAfter(1, modelstub.Stops), false, "content_block_stop", 5},
		"after the text":                {answer.EndingAfter(2, modelstub.Stops), false, "content_block_stop", 8},
		"after the text, with a reset":  {answer.EndingAfter(2, modelstub.Breaks), true, "content_block_stop", 8},
		"after everything, and a reset": {answer.EndingAfter(modelstub.AllEvents, modelstub.Breaks), true, "message_stop", 10},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := post(t.Context(), t, start(t, modelstub.Always(c.response)), stream)
			require.NoError(t, err)
			defer got.Body.Close()
			body, err := io.ReadAll(got.Body)
			require.Equal(t, c.breaks, err != nil)
			kinds, _ := events(t, string(body))
			require.Equal(t, c.last, kinds[len(kinds)-1])
			require.Len(t, kinds, c.count)
		})
	}
}

func TestToolUsesHaveDifferentIDs(t *testing.T) {
	s := start(t, modelstub.Always(modelstub.ToolUse("Bash", map[string]string{})))
	_, first := read(t, s, single)
	_, second := read(t, s, single)
	require.Contains(t, first, `"id":"toolu_1_0"`)
	require.Contains(t, second, `"id":"toolu_2_0"`)
}
