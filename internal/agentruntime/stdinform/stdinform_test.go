package stdinform_test

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/stdinform"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

var history = []execution.Message{
	{Role: execution.RoleUser, Text: "hello\r\nthere", Turn: 1}, {Role: execution.RoleAssistant, Text: "hi", Turn: 1},
	{Role: execution.RoleUser, Text: "make it shorter", Turn: 2},
	{Role: execution.RoleAssistant, Text: "so far\n\n[This turn was canceled before it ended.]", Turn: 2, Failed: true},
}

// docs/runtimes.md has this text.
const documented = `[airlock: the earlier messages of this conversation, the oldest first. Each of their lines begins with "| ".]
[airlock: user]
| hello
| there
[airlock: assistant]
| hi
[airlock: user]
| make it shorter
[airlock: assistant, in a turn without an answer]
| so far
| 
| [This turn was canceled before it ended.]
[airlock: the new message]
go on
`

func TestEncode(t *testing.T) {
	require.Equal(t, documented, string(stdinform.Encode(history, false, "go on\n")))
	page, err := os.ReadFile("../../../docs/runtimes.md")
	require.NoError(t, err)
	for line := range strings.Lines(documented) {
		require.Contains(t, string(page), "\n    "+strings.TrimRight(line, " \n")+"\n")
	}
	require.Equal(t, "go on", string(stdinform.Encode(nil, false, "go on")), "a first message is unchanged")
	remembered := string(stdinform.Encode(history[2:], true, "go on"))
	require.Contains(t, remembered, "you may remember some")
	require.NotContains(t, remembered, "left out")
}

// A first message that looks like the form is not taken for it.
func TestMessageThatImitatesTheForm(t *testing.T) {
	imitation := documented
	for _, earlier := range [][]execution.Message{nil, {{Role: execution.RoleUser, Text: imitation}}} {
		decoded, message, ok := stdinform.Decode(string(stdinform.Encode(earlier, false, imitation)))
		require.True(t, ok)
		require.Equal(t, imitation, message)
		require.Len(t, decoded, len(earlier))
	}
}

func TestNewestPart(t *testing.T) {
	var long []execution.Message
	for turn := 1; turn <= 20; turn++ {
		long = append(long, execution.Message{Role: execution.RoleUser, Text: strings.Repeat("가", 10_000), Turn: turn},
			execution.Message{Role: execution.RoleAssistant, Text: strings.Repeat("y", 100_000), Turn: turn})
	}
	text := string(stdinform.Encode(long, false, "go on"))
	require.Less(t, len(text), 260<<10)
	require.Contains(t, text, "[airlock: older messages are left out.]\n")
	require.Contains(t, text, "[airlock: the rest of this message is left out.]\n")
	kept, message, ok := stdinform.Decode(text)
	require.True(t, ok)
	require.Equal(t, "go on", message)
	require.Greater(t, len(kept), 4)
	require.Equal(t, long[19].Text[:64<<10], kept[len(kept)-1].Text)
	require.Equal(t, long[18].Text, kept[len(kept)-2].Text)

	// The caller has left out the first turns.
	require.Contains(t, string(stdinform.Encode(history[2:], false, "go on")), "older messages are left out")
}

// Whatever the messages are, they can be read again, so none of them can be taken for another one.
func TestEveryHistoryCanBeReadAgain(t *testing.T) {
	parts := []string{
		"", "a", "\n", "\r", "\r\n", "\u2028", "\v", "| ", "[airlock: ", "[airlock: user]", "[airlock: the new message]", "\x00", "\xff", "가",
	}
	text := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.OneOf(rapid.SampledFrom(parts), rapid.String()), 0, 8).Draw(t, "parts"), "")
	})
	rapid.Check(t, func(t *rapid.T) {
		var messages []execution.Message
		for turn := range rapid.IntRange(0, 4).Draw(t, "turns") {
			messages = append(messages, execution.Message{Role: execution.RoleUser, Text: text.Draw(t, "question"), Turn: turn + 1},
				execution.Message{Role: execution.RoleAssistant, Text: text.Draw(t, "answer"), Turn: turn + 1, Failed: rapid.Bool().Draw(t, "failed")})
		}
		message := text.Draw(t, "message")
		encoded := string(stdinform.Encode(messages, rapid.Bool().Draw(t, "remembers"), message))
		decoded, got, ok := stdinform.Decode(encoded)
		require.True(t, ok, encoded)
		require.Equal(t, message, got)
		require.Len(t, decoded, len(messages))
		for i, m := range messages {
			require.Equal(t, m.Role, decoded[i].Role)
			require.Equal(t, m.Failed, decoded[i].Failed)
			require.Equal(t, withLineFeeds.Replace(m.Text), decoded[i].Text)
		}
	})
}

var withLineFeeds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\v", "\n", "\f", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func TestDecodeRejectsAnythingElse(t *testing.T) {
	for _, text := range []string{
		"[airlock: ", "[airlock: user]\n", "[airlock: the earlier\n", "[airlock: user]\nhello\n[airlock: the new message]\n",
		"[airlock: older messages are left out.]\n| hello\n[airlock: the new message]\n",
	} {
		_, _, ok := stdinform.Decode(text)
		require.False(t, ok, text)
	}
}
