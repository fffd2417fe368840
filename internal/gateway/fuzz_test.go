package gateway

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzInspect holds inspect to what it promises: what it lets through is JSON
// that Go reads with the same model.
func FuzzInspect(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":5,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`))
	f.Add([]byte(`{"model":"m","tools":[{"type":"custom"}],"system":[{"source":{"type":"base64"}}]}`))
	f.Add([]byte(`{"model":"m","messages":[{"content":{"source":{"url":"x"}}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		a, err := inspect(body, apiSpecs[MessagesAPI])
		if err != nil {
			require.Equal(t, requestInfo{}, a)
			return
		}
		var read map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &read))
		var model string
		require.NoError(t, json.Unmarshal(read["model"], &model))
		require.Equal(t, model, a.model)
		for name := range read {
			require.Contains(t, apiSpecs[MessagesAPI].parameters, name)
		}
	})
}

// FuzzMeter holds the meter to giving the same numbers however a stream is cut
// into parts.
func FuzzMeter(f *testing.F) {
	f.Add([]byte("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n"), 7)
	f.Add([]byte("data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":-5}}\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		var single, parts usageMeter
		_, _ = single.Write(stream)
		step := max(1, size%64)
		for rest := stream; len(rest) > 0; {
			n := min(step, len(rest))
			_, _ = parts.Write(bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		require.Equal(t, single.tokens, parts.tokens)
		require.Equal(t, single.complete, parts.complete)
		require.GreaterOrEqual(t, single.tokens.Total(), int64(0))
	})
}
