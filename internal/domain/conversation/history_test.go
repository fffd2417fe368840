package conversation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func userMessage(turn int, text string) Message {
	return Message{Turn: turn, Role: execution.RoleUser, Text: text}
}

func assistantMessage(turn int, text string) Message {
	return Message{Turn: turn, Role: execution.RoleAssistant, Text: text}
}

func failedReply(turn int) Message {
	return Message{Turn: turn, Role: execution.RoleAssistant, Failure: &execution.Failure{Code: execution.CodeAgentError}}
}

func user(text string) execution.Message {
	return execution.Message{Role: execution.RoleUser, Text: text}
}

func assistant(text string) execution.Message {
	return execution.Message{Role: execution.RoleAssistant, Text: text}
}

func TestHistory(t *testing.T) {
	large := strings.Repeat("x", maxHistoryBytes/2)
	for name, tc := range map[string]struct {
		messages []Message
		history  []execution.Message
	}{
		"no messages":               {nil, nil},
		"one turn":                  {[]Message{userMessage(1, "a"), assistantMessage(1, "b")}, []execution.Message{user("a"), assistant("b")}},
		"oldest first":              {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, "c"), assistantMessage(2, "d")}, []execution.Message{user("a"), assistant("b"), user("c"), assistant("d")}},
		"a turn without its reply":  {[]Message{userMessage(1, "a"), userMessage(2, "b"), assistantMessage(2, "c")}, []execution.Message{user("b"), assistant("c")}},
		"a turn cut off by a limit": {[]Message{assistantMessage(1, "b"), userMessage(2, "c"), assistantMessage(2, "d")}, []execution.Message{user("c"), assistant("d")}},
		"a failed turn is omitted":  {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, "c"), failedReply(2), userMessage(3, "e"), assistantMessage(3, "f")}, []execution.Message{user("a"), assistant("b"), user("e"), assistant("f")}},
		"only failed turns":         {[]Message{userMessage(1, "a"), failedReply(1)}, nil},
		"as many bytes as fit":      {[]Message{userMessage(1, large), assistantMessage(1, large)}, []execution.Message{user(large), assistant(large)}},
		"older turns are omitted":   {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, large), assistantMessage(2, large)}, []execution.Message{user(large), assistant(large)}},
		"no gap at a large turn":    {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, large), assistantMessage(2, large+"!"), userMessage(3, "c"), assistantMessage(3, "d")}, []execution.Message{user("c"), assistant("d")}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, cmp.Diff(tc.history, History(tc.messages)))
		})
	}
}

// For any turns, questions and answers alternate, the newest answered turn is present, and the texts fit.
func TestHistoryInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []Message
		answered := 0
		for turn := 1; turn <= rapid.IntRange(0, 40).Draw(t, "turns"); turn++ {
			text := strings.Repeat("x", rapid.IntRange(1, maxHistoryBytes/8).Draw(t, "bytes"))
			messages = append(messages, userMessage(turn, text))
			switch rapid.SampledFrom([]string{"answered", "failed", "open"}).Draw(t, "end") {
			case "answered":
				messages = append(messages, assistantMessage(turn, text))
				answered++
			case "failed":
				messages = append(messages, failedReply(turn))
			}
		}
		history := History(messages)
		size := 0
		for i, m := range history {
			want := execution.RoleUser
			if i%2 == 1 {
				want = execution.RoleAssistant
			}
			require.Equal(t, want, m.Role)
			size += len(m.Text)
		}
		require.Zero(t, len(history)%2)
		require.LessOrEqual(t, size, maxHistoryBytes)
		require.LessOrEqual(t, len(history)/2, answered)
		if answered > 0 {
			require.NotEmpty(t, history, "the newest answered turn always fits")
		}
	})
}
