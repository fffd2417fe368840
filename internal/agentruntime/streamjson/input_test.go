package streamjson_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
)

func TestInputRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringN(1, -1, -1)
		sent := streamjson.Input{Instructions: rapid.String().Draw(t, "instructions"), Prompt: rapid.String().Draw(t, "prompt")}
		if rapid.Bool().Draw(t, "another model") {
			sent.Model, sent.ModelEnv = text.Draw(t, "model"), map[string]string{"M": text.Draw(t, "variable")}
		}
		if rapid.Bool().Draw(t, "with a schema") {
			sent.Schema = `{"type":"object"}`
		}
		raw, err := sent.Encode()
		require.NoError(t, err)
		got, err := streamjson.ReadInput(bytes.NewReader(raw))
		require.NoError(t, err)
		require.Equal(t, sent, got)
	})
}

func TestInvalidInput(t *testing.T) {
	for text, says := range map[string]string{
		"": "no message", "x": "read standard input", `{"type":"control_request","request":{"subtype":"initialize"}}`: "no message",
		`{"type":"other"}`: `unknown line of type "other"`, `{"type":"user"}`: "unknown line",
	} {
		_, err := streamjson.ReadInput(strings.NewReader(text))
		require.ErrorContains(t, err, says)
	}
	_, err := streamjson.Input{Schema: "{"}.Encode()
	require.Error(t, err)
}
