package promptrules

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFirstMatch(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rules.yaml")
	require.NoError(t, os.WriteFile(file, []byte(`
- name: no cards
  pattern: '\b\d{16}\b'
- {name: no secrets, pattern: '(?i)secret'}
`), 0o600))
	rules, err := Load(file)
	require.NoError(t, err)
	for text, name := range map[string]string{
		"hello": "", "": "", "4111111111111111": "no cards", "A SECRET": "no secrets", "secret 4111111111111111": "no cards",
	} {
		require.Equal(t, name, rules.FirstMatch(text), text)
	}
}

func TestEmptyRulesDenyNothing(t *testing.T) {
	for _, text := range []string{"", "[]", "# none\n"} {
		rules, err := parse([]byte(text))
		require.NoError(t, err)
		require.Empty(t, rules.FirstMatch("anything"))
	}
	rules, err := Load("")
	require.NoError(t, err)
	require.Empty(t, rules)
}

func TestParseReportsAllErrors(t *testing.T) {
	_, err := parse([]byte("- {name: a, pattern: '('}\n- {name: b}\n- {name: c, pattern: '(?=x)'}\n"))
	for _, want := range []string{`rule "a"`, "rule 2", `rule "c"`} {
		require.ErrorContains(t, err, want)
	}
	_, err = parse([]byte("- {nam: a, pattern: x}"))
	require.ErrorContains(t, err, "nam")
	_, err = parse([]byte("a: b"))
	require.Error(t, err)
	_, err = Load("/nowhere.yaml")
	require.Error(t, err)
}

// A backtracking engine would need years for this pattern.
func TestMatchingTimeIsLinear(t *testing.T) {
	rules, err := parse([]byte(`[{name: a, pattern: '^(a+)+$'}]`))
	require.NoError(t, err)
	require.Empty(t, rules.FirstMatch(strings.Repeat("a", 256<<10)+"b"))
}
