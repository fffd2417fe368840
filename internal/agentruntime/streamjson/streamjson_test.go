package streamjson_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
)

const (
	initLine   = `{"type":"system","subtype":"init","tools":["Bash"]}`
	answerLine = `{"type":"assistant","message":{"content":[{"type":"text","text":"hi"}]}}`
	resultLine = `{"type":"result","subtype":"success","is_error":false,"num_turns":2,"result":"hi","stop_reason":"end_turn","usage":{"input_tokens":3}}`
)

func lines(l ...string) []byte { return []byte(strings.Join(l, "\n") + "\n") }

func TestParseFindsTheResult(t *testing.T) {
	got, err := streamjson.Parse(lines(initLine, answerLine, "", resultLine))
	require.NoError(t, err)
	want := streamjson.Result{Subtype: "success", NumTurns: 2, Text: "hi", StopReason: "end_turn"}
	require.Empty(t, cmp.Diff(want, got))
}

func TestParseReadsTheLastLineWithoutItsNewline(t *testing.T) {
	got, err := streamjson.Parse([]byte(initLine + "\n" + resultLine))
	require.NoError(t, err)
	require.Equal(t, "hi", got.Text)
}

func TestParseReadsWhatAnErrorCarries(t *testing.T) {
	got, err := streamjson.Parse(lines(`{"type":"result","subtype":"success","is_error":true,"api_error_status":401,"num_turns":1,"result":"API Error: 401"}`))
	require.NoError(t, err)
	require.True(t, got.IsError)
	require.Equal(t, 401, got.APIErrorStatus)
}

func TestParseReadsTheStructuredAnswer(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"object": {`{"type":"result","structured_output":{"reply":"yes"}}`, `{"reply":"yes"}`},
		"null":   {`{"type":"result","structured_output":null,"api_error_status":null}`, ``},
		"absent": {`{"type":"result"}`, ``},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := streamjson.Parse(lines(c.line))
			require.NoError(t, err)
			require.Equal(t, c.want, string(got.Structured))
		})
	}
}

func TestParseToleratesEventsItDoesNotKnow(t *testing.T) {
	got, err := streamjson.Parse(lines(`{"type":"rate_limit_event","x":[1,2]}`, `{"no":"type"}`, resultLine))
	require.NoError(t, err)
	require.Equal(t, "hi", got.Text)
}

func TestParseRefuses(t *testing.T) {
	deep := `{"type":"user","x":` + strings.Repeat("[", strictjson.MaxDepth) + strings.Repeat("]", strictjson.MaxDepth) + `}`
	for name, c := range map[string]struct {
		stdout []byte
		want   error
	}{
		"nothing":                 {nil, streamjson.ErrNoResult},
		"blank lines":             {[]byte("\n\n \n"), streamjson.ErrNoResult},
		"no result":               {lines(initLine, answerLine), streamjson.ErrNoResult},
		"two results":             {lines(resultLine, resultLine), streamjson.ErrManyResult},
		"more after the result":   {lines(resultLine, answerLine), streamjson.ErrNotLast},
		"text before the result":  {lines("hello", resultLine), streamjson.ErrMalformed},
		"a result cut short":      {[]byte(initLine + "\n" + resultLine[:40]), streamjson.ErrMalformed},
		"two objects on one line": {lines(resultLine + resultLine), streamjson.ErrMalformed},
		"an array":                {lines(`["type","result"]`), streamjson.ErrMalformed},
		"wrong types":             {lines(`{"type":"result","num_turns":"many"}`), streamjson.ErrMalformed},
		"type not a string":       {lines(`{"type":1}`), streamjson.ErrMalformed},
		"not UTF-8":               {lines("{\"type\":\"result\",\"result\":\"\xff\"}"), streamjson.ErrMalformed},
		"too deep":                {lines(deep, resultLine), streamjson.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := streamjson.Parse(c.stdout)
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestParseCountsDepthOutsideOfStringsOnly(t *testing.T) {
	brackets := strings.Repeat(`[{\"`, strictjson.MaxDepth)
	_, err := streamjson.Parse(lines(`{"type":"user","x":"`+brackets+`"}`, resultLine))
	require.NoError(t, err)
}

func TestParseTakesALargeAnswer(t *testing.T) {
	text := strings.Repeat("abcdefgh", 1<<17)
	line, err := json.Marshal(map[string]any{"type": "result", "num_turns": 1, "result": text})
	require.NoError(t, err)
	got, err := streamjson.Parse(lines(initLine, string(line)))
	require.NoError(t, err)
	require.Equal(t, text, got.Text)
}

func FuzzParse(f *testing.F) {
	f.Add(lines(initLine, answerLine, resultLine))
	f.Add(lines(resultLine, resultLine))
	f.Add([]byte(`{"type":"result","structured_output":{"a":[{}]}}`))
	f.Add([]byte("{\"type\":\"resu"))
	f.Fuzz(func(t *testing.T, stdout []byte) {
		got, err := streamjson.Parse(stdout)
		if err != nil {
			require.Equal(t, streamjson.Result{}, got, "an error comes without a result")
			return
		}
		if len(got.Structured) > 0 {
			require.True(t, json.Valid(got.Structured))
		}
		// One more result makes what was good ambiguous.
		_, err = streamjson.Parse(append(append(stdout[:len(stdout):len(stdout)], '\n'), resultLine...))
		require.ErrorIs(t, err, streamjson.ErrManyResult)
	})
}
