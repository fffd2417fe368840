package offline_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
)

// messageGenerator draws messages that contain words which the agent recognizes.
func messageGenerator() *rapid.Generator[string] {
	word := rapid.OneOf(
		rapid.SampledFrom([]string{
			"agent", "make", "summarise", "count", "json", "upper", "echo", "that", "에이전트", "만들어줘", "요약", "안녕", "hello", "earlier", "3", "sentences", "문장", ".", "!", "\n", "{}",
		}),
		rapid.String(),
	)
	return rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(word, 1, 12).Draw(t, "words"), " ")
	}).Filter(func(s string) bool { return strings.TrimSpace(s) != "" })
}

// Every message gets exactly one result, as the contract requires.
func TestAlwaysOneResult(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		job := streamjson.Input{Prompt: messageGenerator().Draw(t, "prompt")}
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 1:
			job.Instructions = messageGenerator().Draw(t, "instructions")
		case 2:
			job.Schema = builderSchema
		}
		got := runJob(t, "", job)
		require.Zero(t, got.code, got.stderr)
		result, err := streamjson.Parse(got.stdout)
		require.NoError(t, err)
		require.False(t, result.IsError)
		if job.Schema != "" {
			var p proposal
			require.NoError(t, json.Unmarshal(result.Structured, &p))
			require.NotEmpty(t, p.Reply)
			require.True(t, p.Agent == nil || p.Agent.Name != "" && p.Agent.Instructions != "")
		}
	})
}

// A summary is the beginning of the input, apart from white space.
func TestSummaryIsPartOfInput(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		input := messageGenerator().Draw(t, "input")
		result, err := streamjson.Parse(runJob(t, "", streamjson.Input{Prompt: input, Instructions: "summarise"}).stdout)
		require.NoError(t, err)
		removeSpace := func(s string) string { return strings.Join(strings.Fields(s), "") }
		require.True(t, strings.HasPrefix(removeSpace(input), removeSpace(result.Text)), "%q of %q", result.Text, input)
	})
}
