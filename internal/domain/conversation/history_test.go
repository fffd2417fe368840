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

func failedReply(turn int, code execution.Code) Message {
	return Message{Turn: turn, Role: execution.RoleAssistant, Failure: &execution.Failure{Code: code, Message: "why"}}
}

func user(turn int, text string) execution.Message {
	return execution.Message{Role: execution.RoleUser, Text: text, Turn: turn}
}

func assistant(turn int, text string) execution.Message {
	return execution.Message{Role: execution.RoleAssistant, Text: text, Turn: turn}
}

func failed(turn int, text string) execution.Message {
	return execution.Message{Role: execution.RoleAssistant, Text: text, Turn: turn, Failed: true}
}

func TestHistory(t *testing.T) {
	large := strings.Repeat("x", maxHistoryBytes/2)
	for name, tc := range map[string]struct {
		messages []Message
		history  []execution.Message
	}{
		"no messages":               {nil, nil},
		"one turn":                  {[]Message{userMessage(1, "a"), assistantMessage(1, "b")}, []execution.Message{user(1, "a"), assistant(1, "b")}},
		"oldest first":              {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, "c"), assistantMessage(2, "d")}, []execution.Message{user(1, "a"), assistant(1, "b"), user(2, "c"), assistant(2, "d")}},
		"a turn without its reply":  {[]Message{userMessage(1, "a"), userMessage(2, "b"), assistantMessage(2, "c")}, []execution.Message{user(2, "b"), assistant(2, "c")}},
		"a turn cut off by a limit": {[]Message{assistantMessage(1, "b"), userMessage(2, "c"), assistantMessage(2, "d")}, []execution.Message{user(2, "c"), assistant(2, "d")}},
		"a failed turn":             {[]Message{userMessage(1, "a"), failedReply(1, execution.CodeAgentError), userMessage(2, "b"), assistantMessage(2, "c")}, []execution.Message{user(1, "a"), failed(1, "[This turn failed before it ended: why]"), user(2, "b"), assistant(2, "c")}},
		"a canceled turn":           {[]Message{userMessage(1, "a"), failedReply(1, execution.CodeCanceled)}, []execution.Message{user(1, "a"), failed(1, "[This turn was canceled before it ended.]")}},
		"a turn that timed out":     {[]Message{userMessage(1, "a"), failedReply(1, execution.CodeTimedOut)}, []execution.Message{user(1, "a"), failed(1, "[This turn timed out before it ended.]")}},
		"a turn that never began":   {[]Message{userMessage(1, "a"), failedReply(1, execution.CodeQueueTimeout)}, []execution.Message{user(1, "a"), failed(1, "[This turn never began.]")}},
		"a partial answer":          {[]Message{userMessage(1, "a"), {Turn: 1, Role: execution.RoleAssistant, Partial: "so far", Failure: execution.NewCanceledFailure()}}, []execution.Message{user(1, "a"), failed(1, "so far\n\n[This turn was canceled before it ended.]")}},
		"as many bytes as fit":      {[]Message{userMessage(1, large), assistantMessage(1, large)}, []execution.Message{user(1, large), assistant(1, large)}},
		"older turns are omitted":   {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, large), assistantMessage(2, large)}, []execution.Message{user(2, large), assistant(2, large)}},
		"no gap at a large turn":    {[]Message{userMessage(1, "a"), assistantMessage(1, "b"), userMessage(2, large), assistantMessage(2, large+"!"), userMessage(3, "c"), assistantMessage(3, "d")}, []execution.Message{user(3, "c"), assistant(3, "d")}},
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, cmp.Diff(tc.history, History(tc.messages)))
		})
	}
}

// For any turns, questions and answers alternate, the newest finished turn is present, and the texts fit.
func TestHistoryInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var messages []Message
		finished := 0
		for turn := 1; turn <= rapid.IntRange(0, 40).Draw(t, "turns"); turn++ {
			text := strings.Repeat("x", rapid.IntRange(1, maxHistoryBytes/8).Draw(t, "bytes"))
			messages = append(messages, userMessage(turn, text))
			switch rapid.SampledFrom([]string{"answered", "failed", "open"}).Draw(t, "end") {
			case "answered":
				messages = append(messages, assistantMessage(turn, text))
				finished++
			case "failed":
				messages = append(messages, failedReply(turn, execution.CodeAgentError))
				finished++
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
		require.LessOrEqual(t, len(history)/2, finished)
		if finished > 0 {
			require.NotEmpty(t, history, "the newest finished turn always fits")
		}
	})
}
