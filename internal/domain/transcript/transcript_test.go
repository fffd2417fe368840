package transcript_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/transcript"
)

func TestEncode(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	line := transcript.Encode(transcript.Item{
		Number: 3, Attempt: 2, Time: at, Kind: transcript.KindToolCall, Parent: "toolu_1", Call: "toolu_2", Tool: "Bash",
		Input: json.RawMessage(`{"command":"ls"}`),
	})
	require.JSONEq(t, `{"number":3,"attempt":2,"time":"2026-11-30T12:00:00Z","type":"tool_call","parent":"toolu_1","call":"toolu_2",
		"tool":"Bash","input":{"command":"ls"}}`, string(line))
}

// Whatever an agent says, its item is one line of JSON and has a bounded length.
func TestEncodeIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Repeat(rapid.StringN(1, 8, -1).Draw(t, "text"), rapid.IntRange(1, 30_000).Draw(t, "times"))
		input := rapid.SampledFrom([]string{`{"a":1}`, text, `"` + strings.Repeat("y", len(text)) + `"`, ``}).Draw(t, "input")
		i := transcript.Item{
			Kind: transcript.KindToolCall, Text: text, Call: text, Tool: text, Parent: text, Input: json.RawMessage(input),
		}
		line := transcript.Encode(i)
		require.Equal(t, 1, strings.Count(string(line), "\n"))
		var got transcript.Item
		require.NoError(t, json.Unmarshal(line, &got))
		require.True(t, utf8.ValidString(got.Text))
		require.LessOrEqual(t, len(got.Text), transcript.MaxFieldBytes)
		require.Equal(t, len(text) > transcript.MaxFieldBytes || len(input) > transcript.MaxFieldBytes, got.Truncated)
	})
}

func TestMask(t *testing.T) {
	long := strings.Repeat("aB3", 20)
	for name, c := range map[string]struct{ text, want string }{
		"Anthropic":      {"key=sk-ant-api03-" + long + " end", "key=sk-ant-[masked] end"},
		"OpenAI":         {"sk-proj-" + long, "sk-proj-[masked]"},
		"GitHub":         {`{"token":"ghp_` + long + `"}`, `{"token":"ghp_[masked]"}`},
		"GitHub, new":    {"github_pat_" + long, "github_pat_[masked]"},
		"Amazon":         {"AKIAIOSFODNN7EXAMPLE", "AKIA[masked]"},
		"Google":         {"AIza" + long[:35], "AIza[masked]"},
		"Slack":          {"xoxb-123456789012-abc", "xoxb-[masked]"},
		"JSON Web Token": {"Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0.c2lnbmF0dXJl!", "Bearer eyJ[masked]!"},
		"Airlock":        {"alk_" + strings.Repeat("a1", 20), "alk_[masked]"},
		"PEM": {
			"a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb",
			"a\n-----BEGIN RSA PRIVATE KEY[masked]-----END RSA PRIVATE KEY-----\nb",
		},
		"no PEM": {"-----BEGIN PRIVATE KEY----- is how a key (begins)", "-----BEGIN PRIVATE KEY[masked](begins)"},
		"secret of Amazon": {
			`AWS_SECRET_ACCESS_KEY="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"`, `AWS_SECRET_ACCESS_KEY="[masked]"`,
		},
		"cut PEM":     {"-----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY[masked]"},
		"two":         {"sk-" + long + " sk-" + long, "sk-[masked] sk-[masked]"},
		"no secrets":  {"task-list risk-free ghost eyJ sk-short PRIVATE KEY", "task-list risk-free ghost eyJ sk-short PRIVATE KEY"},
		"git objects": {"commit 0123456789abcdef0123456789abcdef01234567", "commit 0123456789abcdef0123456789abcdef01234567"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, transcript.Mask(c.text)) })
	}
}

func BenchmarkEncode(b *testing.B) {
	i := transcript.Item{Kind: transcript.KindToolResult, Text: strings.Repeat("The quick brown fox jumps over the lazy dog.\n", 1000)}
	b.SetBytes(int64(len(i.Text)))
	for b.Loop() {
		transcript.Encode(i)
	}
}
