package streamjson_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/transcript"
)

func TestParseItems(t *testing.T) {
	lines := `{"type":"system","subtype":"init"}
{"type":"assistant","parent_tool_use_id":null,"message":{"content":[{"type":"thinking","thinking":"Hm.","signature":"x"},{"type":"text","text":"I look."},{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","tool_use_id":"toolu_1","content":"a.txt"}]},"tool_use_result":{"stdout":"a.txt"}}
{"type":"user","parent_tool_use_id":"toolu_2","message":{"content":[{"type":"tool_result","tool_use_id":"toolu_3","is_error":true,"content":[{"type":"text","text":"no"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAAAAAA"}},{"type":"tool_reference"}]}]}}
{"type":"user","message":{"content":"only text"}}
rubbish
{"type":"assistant","message":7}
{"type":"assistant","message":{"content":[{"type":"text","text":""},{"type":"redacted_thinking","data":"x"}]}}
{"type":"system","subtype":"api_retry","attempt":2,"error_status":529}
{"type":"system","subtype":"api_retry","attempt":3,"error_status":null}
{"type":"result","result":"done"}`
	var got []transcript.Item
	for line := range strings.Lines(lines) {
		streamjson.ParseItems([]byte(line), func(i transcript.Item) { got = append(got, i) })
	}
	require.Equal(t, []transcript.Item{
		{Kind: transcript.KindThinking, Text: "Hm."},
		{Kind: transcript.KindText, Text: "I look."},
		{Kind: transcript.KindToolCall, Call: "toolu_1", Tool: "Bash", Input: json.RawMessage(`{"command":"ls"}`)},
		{Kind: transcript.KindToolResult, Call: "toolu_1", Text: "a.txt"},
		{Kind: transcript.KindToolResult, Parent: "toolu_2", Call: "toolu_3", IsError: true, Text: "no\n[image/png, 6 bytes]\n[tool_reference]"},
		{Kind: transcript.KindRetry, Text: "retries the model request (attempt 2) after status 529"},
		{Kind: transcript.KindRetry, Text: "retries the model request (attempt 3)"},
	}, got)
}

func TestParseSaying(t *testing.T) {
	lines := `{"type":"stream_event","event":{"type":"message_start"},"parent_tool_use_id":null}
{"type":"stream_event","event":{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}}
{"type":"stream_event","event":{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Hm."}}}
{"type":"stream_event","event":{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}},"parent_tool_use_id":null}
{"type":"stream_event","event":{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I look"}},"parent_tool_use_id":null}
{"type":"stream_event","event":{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"I help"}},"parent_tool_use_id":"toolu_1"}
{"type":"stream_event","event":{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{"}}}
{"type":"assistant","message":{"content":[{"type":"text","text":"a \"stream_event\""}]}}
"stream_event"`
	var got []string
	for line := range strings.Lines(lines) {
		streamjson.ParseSaying([]byte(line), func(part string, begins bool) { got = append(got, fmt.Sprint(begins, " ", part)) })
		streamjson.ParseItems([]byte(line), func(i transcript.Item) { require.Equal(t, transcript.KindText, i.Kind) })
	}
	require.Equal(t, []string{"true ", "false I look"}, got)
}
