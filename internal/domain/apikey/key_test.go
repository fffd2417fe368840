package apikey

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/tenant"
)

func testPepper(t *testing.T, text string) Pepper {
	t.Helper()
	p, err := NewPepper([]byte(strings.Repeat(text, minPepperBytes)))
	require.NoError(t, err)
	return p
}

func TestParseSecretRoundTrip(t *testing.T) {
	seen, p := map[Secret]bool{}, testPepper(t, "a")
	for range 1000 {
		s := p.newSecret()
		require.False(t, seen[s])
		seen[s] = true
		read, ok := p.ParseSecret(s.Reveal())
		require.True(t, ok)
		require.Equal(t, s, read)
	}
}

// Only the holder of the pepper can make a secret: all others are refused before anything is looked up.
func TestParseSecretRefusesInventedSecrets(t *testing.T) {
	mine, others := testPepper(t, "a"), testPepper(t, "b")
	for range 1000 {
		_, ok := mine.ParseSecret(others.newSecret().Reveal())
		require.False(t, ok)
	}
}

// The tag detects any single character that is wrong, added or missing.
func TestParseSecretDetectsTypos(t *testing.T) {
	p := testPepper(t, "a")
	secret := p.newSecret().Reveal()
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.IntRange(0, len(secret)-1).Draw(t, "at")
		letter := rapid.StringMatching(`[ -~]`).Draw(t, "letter")
		for what, wrong := range map[string]string{
			"replaced": secret[:at] + letter + secret[at+1:],
			"added":    secret[:at] + letter + secret[at:],
			"missing":  secret[:at] + secret[at+1:],
			"upper":    secret[:at] + strings.ToUpper(secret[at:at+1]) + secret[at+1:],
			"cut":      secret[:at],
		} {
			if _, ok := p.ParseSecret(wrong); ok != (wrong == secret) {
				t.Fatalf("%s at %d: %s", what, at, wrong)
			}
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	p, err := NewPepper([]byte(strings.Repeat("a", minPepperBytes)))
	require.NoError(f, err)
	f.Add(p.newSecret().Reveal())
	f.Add("alk_")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if s, ok := p.ParseSecret(text); ok && s.Reveal() != text {
			t.Fatalf("%q was parsed as another secret", text)
		}
	})
}

func TestHashDependsOnPepper(t *testing.T) {
	k, secret := New(testPepper(t, "a"), "ada", "ci", []tenant.Scope{tenant.ScopeRun})
	require.Equal(t, testPepper(t, "a").Hash(secret), k.Hash)
	require.NotEqual(t, testPepper(t, "b").Hash(secret), k.Hash)
	require.NotContains(t, fmt.Sprintf("%+v", k), secret.Reveal())
}

func TestNewPepperRejectsShortSecret(t *testing.T) {
	_, err := NewPepper(make([]byte, minPepperBytes-1))
	require.ErrorContains(t, err, "32 bytes")
}

func TestSecretAndPepperAreRedacted(t *testing.T) {
	secret := testPepper(t, "a").newSecret()
	require.NotContains(t, fmt.Sprintf("%v %s %+v", secret, secret, secret), secret.Reveal()[4:])
	require.NotContains(t, fmt.Sprintf("%v %s %+v", testPepper(t, "a"), testPepper(t, "a"), testPepper(t, "a")), "aaa")
}
