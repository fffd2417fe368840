package execution

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/agent"
)

// The document of a large result has the beginning of its text, cut between two letters.
func TestTruncatedResultIsPrefix(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		unit := rapid.StringN(1, 8, 20).Draw(t, "unit")
		text := ""
		for len(text) < ExcerptBytes+100 {
			text += unit
			unit += unit
		}
		complete := Content{Size: 1}
		r := Result{Text: text, Output: "{}", AgentDraft: &agent.Draft{Name: "N"}}
		short := r.Truncate(complete)
		require.Equal(t, text[:len(short.Text)], short.Text)
		require.True(t, utf8.ValidString(short.Text))
		require.InDelta(t, ExcerptBytes, len(short.Text), utf8.UTFMax)
		require.Empty(t, short.Output)
		require.Equal(t, "N", short.AgentDraft.Name)
		require.Equal(t, &complete, short.Complete)
	})
	require.Equal(t, "short", (&Result{Text: "short"}).Truncate(Content{}).Text)
}
