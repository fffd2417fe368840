package id_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/id"
)

// form is what docs and clients see of an ID: the prefix and 24 letters of 5 bits.
var form = regexp.MustCompile(`\A[a-z]+_[0-9a-hjkmnp-tv-z]{24}\z`)

func TestNewHasTheFormOfItsPrefix(t *testing.T) {
	for _, prefix := range []string{id.Execution, id.Conversation, id.Agent} {
		made := id.New(prefix)
		require.Regexp(t, form, made)
		require.True(t, strings.HasPrefix(made, prefix))
		require.True(t, id.Valid(prefix, made))
	}
}

func TestNewIsNeverTheSame(t *testing.T) {
	const many = 10_000
	seen := make(map[string]bool, many)
	for range many {
		seen[id.New(id.Execution)] = true
	}
	require.Len(t, seen, many)
}

// Sequential IDs would make a hot spot in Firestore.
func TestNewSpreadsOverTheKeySpace(t *testing.T) {
	first := map[byte]bool{}
	for range 2000 {
		first[id.New(id.Execution)[len(id.Execution)]] = true
	}
	require.Len(t, first, 32, "every letter comes first now and then")
}

func TestValidRefusesWhatNewDoesNotMake(t *testing.T) {
	good := id.New(id.Execution)
	body := strings.TrimPrefix(good, id.Execution)
	for name, s := range map[string]string{
		"empty":              "",
		"prefix alone":       id.Execution,
		"no prefix":          body,
		"another's prefix":   id.Agent + body,
		"twice the prefix":   id.Execution + good,
		"one letter short":   good[:len(good)-1],
		"one letter more":    good + "0",
		"upper case":         strings.ToUpper(good),
		"letter left out":    good[:len(good)-1] + "u",
		"padding":            good[:len(good)-1] + "=",
		"space":              good[:len(good)-1] + " ",
		"new line at end":    good[:len(good)-1] + "\n",
		"new lines inside":   id.Execution + "\r\n" + body[2:],
		"a path":             id.Execution + "../../../../../../../../",
		"not UTF-8":          good[:len(good)-1] + "\xff",
		"letters of 2 bytes": id.Execution + strings.Repeat("é", 12),
	} {
		require.False(t, id.Valid(id.Execution, s), name)
	}
}

func TestValidIsTheForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := id.Execution + rapid.StringMatching(`[0-9a-zA-Z=\n\r /.-]{23,25}`).Draw(t, "rest")
		require.Equal(t, form.MatchString(s), id.Valid(id.Execution, s), "%q", s)
	})
}
