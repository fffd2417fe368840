package filter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/filter"
)

func TestMatch(t *testing.T) {
	message := map[string]string{"domain": "com", "lang": "en-GB", "empty": "", "iana.org/tag": "x", "-odd": "1"}
	for f, want := range map[string]bool{
		``:                                                           true,
		`attributes:domain`:                                          true,
		`attributes:none`:                                            false,
		`attributes:"iana.org/tag"`:                                  true,
		`attributes.domain = "com"`:                                  true,
		`attributes.domain="com"`:                                    true,
		`attributes.domain = 'com'`:                                  true,
		`attributes.domain = "COM"`:                                  false,
		`attributes.domain != "com"`:                                 false,
		`attributes.domain != "org"`:                                 true,
		`attributes.none != "org"`:                                   true,
		`attributes.none = ""`:                                       false,
		`attributes.empty = ""`:                                      true,
		`attributes."domain" = "com"`:                                true,
		`attributes.domain = "\x63om"`:                               true,
		`attributes.domain = "\u0063om"`:                             true,
		`attributes.domain = "\143om"`:                               true,
		`hasPrefix(attributes.lang, "en")`:                           true,
		`hasPrefix(attributes.lang, "")`:                             true,
		`hasPrefix(attributes.none, "")`:                             false,
		`hasPrefix(attributes.lang, "de")`:                           false,
		`NOT attributes:domain`:                                      false,
		`-attributes:none`:                                           true,
		`NOT NOT attributes:domain`:                                  true,
		`attributes:-odd`:                                            true,
		`attributes:domain AND attributes:lang`:                      true,
		`attributes:domain AND attributes:none`:                      false,
		`attributes:none OR attributes:lang`:                         true,
		`attributes:none OR attributes:nought OR attributes:lang`:    true,
		`attributes:domain AND NOT attributes:none`:                  true,
		`NOT attributes:none AND attributes:none`:                    false,
		`(attributes:none OR attributes:lang) AND attributes:domain`: true,
		`NOT (attributes:none OR attributes:lang)`:                   false,
		"attributes:domain\n\tAND -(attributes.lang = \"de\")":       true,
		`((attributes:domain))`:                                      true,
		`attributes.NOT = "x" OR attributes:lang`:                    true,
		`attributes.domain = "AND"`:                                  false,
	} {
		t.Run(f, func(t *testing.T) {
			parsed, err := filter.Parse(f)
			require.NoError(t, err)
			require.Equal(t, want, parsed.Match(message))
		})
	}
}

func TestParseInvalid(t *testing.T) {
	for _, f := range []string{
		" ", "(", ")", "()", "attributes", "attributes.", "attributes:", "attributes.a", "attributes.a =", "attributes.a = b",
		`attributes.a == "b"`, `attributes.a < "b"`, `attributes.a = "b`, `attributes.a = "\q"`, `attribute.a = "b"`, `data = "b"`,
		`attributes:a attributes:b`, `attributes:a AND`, `AND attributes:a`, `attributes:a and attributes:b`, `NOT`, `-`,
		`attributes:a AND attributes:b OR attributes:c`, `attributes:a OR attributes:b AND attributes:c`,
		`hasPrefix(attributes.a)`, `hasPrefix(attributes:a, "b")`, `hasPrefix attributes.a, "b"`, `hasPrefix(attributes.a, b)`, `hasprefix(attributes.a, "b")`,
		`(attributes:a`, `attributes:a)`, `attributes:é`, `"attributes":a`, "attributes:a\x00",
		`attributes.a = "` + strings.Repeat("b", filter.MaxLength) + `"`,
	} {
		t.Run(f, func(t *testing.T) {
			_, err := filter.Parse(f)
			require.Error(t, err)
		})
	}
}

// FuzzParse checks that the negation of a valid filter is valid too, and matches exactly the other messages.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`attributes:a`, `-attributes.a = "b"`, `NOT (attributes:a OR attributes.b != 'c')`,
		`hasPrefix(attributes."a", "\u00e9\x41\101") AND attributes:a-b`, `(((`, `"`, `attributes."\xff" = ""`,
	} {
		f.Add(seed, "a", "b")
	}
	f.Fuzz(func(t *testing.T, s, key, value string) {
		plain, err := filter.Parse(s)
		if err != nil || s == "" {
			return
		}
		message := map[string]string{key: value}
		if negated, err := filter.Parse("NOT (" + s + ")"); err == nil {
			require.Equal(t, !plain.Match(message), negated.Match(message))
		} else {
			require.Greater(t, len(s)+6, filter.MaxLength, "the only allowed error is the length: %v", err)
		}
	})
}
