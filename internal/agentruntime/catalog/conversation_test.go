package catalog_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
)

// The agent chooses the names of its files. Only an ID gets to the command line.
func TestSessionID(t *testing.T) {
	const pattern = `([^/]+)\.jsonl$`
	for name, c := range map[string]struct {
		pattern string
		paths   []string
		resumed string
		want    string
	}{
		"one file":                {pattern, []string{"2026/a-1.jsonl"}, "", "a-1"},
		"the first of several":    {pattern, []string{"2026/02/b.jsonl", "2026/01/c.jsonl", "index"}, "", "c"},
		"the one that it resumed": {pattern, []string{"2026/01/c.jsonl", "2026/02/b.jsonl"}, "b", "b"},
		"another than it resumed": {pattern, []string{"2026/01/c.jsonl"}, "b", "c"},
		"no file":                 {pattern, nil, "b", ""},
		"no match":                {pattern, []string{"index"}, "", ""},
		"a flag":                  {pattern, []string{"--help.jsonl", "z.jsonl"}, "", "z"},
		"only a flag":             {pattern, []string{"-c.jsonl"}, "-c", ""},
		"a space":                 {pattern, []string{"a b.jsonl"}, "", ""},
		"a long name":             {pattern, []string{strings.Repeat("a", 129) + ".jsonl"}, "", ""},
		"no pattern":              {"", []string{"a.jsonl"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.want, catalog.Resume{ID: c.pattern}.SessionID(c.paths, c.resumed))
		})
	}
}

func TestConverses(t *testing.T) {
	program := catalog.Runtime{Contract: catalog.Command}
	require.False(t, program.Capabilities().Conversations)
	program.Conversation = &catalog.Conversation{History: catalog.HistoryFile}
	require.True(t, program.Capabilities().Conversations)
	for _, r := range catalog.Builtin().Runtimes {
		require.True(t, r.Capabilities().Conversations, r.Name)
	}
}
