package id_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/id"
)

// idPattern is the documented form of an ID: the prefix and 24 letters of 5 bits.
var idPattern = regexp.MustCompile(`\A[a-z]+_[0-9a-hjkmnp-tv-z]{24}\z`)

func TestNewReturnsValidID(t *testing.T) {
	for _, prefix := range []string{id.Execution, id.Conversation, id.Agent} {
		got := id.New(prefix)
		require.Regexp(t, idPattern, got)
		require.True(t, strings.HasPrefix(got, prefix))
		require.True(t, id.Valid(prefix, got))
	}
}

func TestNewIsUnique(t *testing.T) {
	const count = 10_000
	seen := make(map[string]bool, count)
	for range count {
		seen[id.New(id.Execution)] = true
	}
	require.Len(t, seen, count)
}

// Sequential IDs would overload one server of Firestore.
func TestNewIsUniformlyDistributed(t *testing.T) {
	first := map[byte]bool{}
	for range 2000 {
		first[id.New(id.Execution)[len(id.Execution)]] = true
	}
	require.Len(t, first, 32, "every letter of the alphabet occurs as the first one")
}

func TestValidRejectsMalformedIDs(t *testing.T) {
	valid := id.New(id.Execution)
	body := strings.TrimPrefix(valid, id.Execution)
	for name, s := range map[string]string{
		"empty":              "",
		"prefix alone":       id.Execution,
		"no prefix":          body,
		"another prefix":     id.Agent + body,
		"double prefix":      id.Execution + valid,
		"one letter short":   valid[:len(valid)-1],
		"one letter more":    valid + "0",
		"upper case":         strings.ToUpper(valid),
		"letter not allowed": valid[:len(valid)-1] + "u",
		"padding":            valid[:len(valid)-1] + "=",
		"space":              valid[:len(valid)-1] + " ",
		"new line at end":    valid[:len(valid)-1] + "\n",
		"new lines inside":   id.Execution + "\r\n" + body[2:],
		"a path":             id.Execution + "../../../../../../../../",
		"not UTF-8":          valid[:len(valid)-1] + "\xff",
		"letters of 2 bytes": id.Execution + strings.Repeat("é", 12),
	} {
		require.False(t, id.Valid(id.Execution, s), name)
	}
}

func TestValidMatchesPattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := id.Execution + rapid.StringMatching(`[0-9a-zA-Z=\n\r /.-]{23,25}`).Draw(t, "rest")
		require.Equal(t, idPattern.MatchString(s), id.Valid(id.Execution, s), "%q", s)
	})
}
