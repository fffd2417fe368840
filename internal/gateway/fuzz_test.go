package gateway

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every body that inspect allows is JSON from which Go reads the same model.
func FuzzInspect(f *testing.F) {
	f.Add([]byte(`{"model":"m","max_tokens":5,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"x"}]}]}`))
	f.Add([]byte(`{"model":"m","tools":[{"type":"custom"}],"system":[{"source":{"type":"base64"}}]}`))
	f.Add([]byte(`{"model":"m","messages":[{"content":{"source":{"url":"x"}}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := inspect(body, apiSpecs[MessagesAPI])
		if err != nil {
			require.Equal(t, requestInfo{}, info)
			return
		}
		var read map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(body, &read))
		var model string
		require.NoError(t, json.Unmarshal(read["model"], &model))
		require.Equal(t, model, info.model)
		for name := range read {
			require.Contains(t, apiSpecs[MessagesAPI].parameters, name)
		}
	})
}

// The numbers do not depend on how a stream is split into parts.
func FuzzTokenCounter(f *testing.F) {
	f.Add([]byte("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":5}}}\n\n"), 7)
	f.Add([]byte("data: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":-5}}\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, size int) {
		var whole, parts tokenCounter
		_, _ = whole.Write(stream)
		step := max(1, size%64)
		for rest := stream; len(rest) > 0; {
			n := min(step, len(rest))
			_, _ = parts.Write(bytes.Clone(rest[:n]))
			rest = rest[n:]
		}
		require.Equal(t, whole.tokens, parts.tokens)
		require.Equal(t, whole.complete, parts.complete)
		require.GreaterOrEqual(t, whole.tokens.Total(), int64(0))
	})
}
