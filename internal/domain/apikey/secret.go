package apikey

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/id"
)

// Secret is the text of an API key that a caller sends: the prefix, 160 random bits, and a tag of 40 bits that only the
// holder of the pepper can compute. So a mistyped or invented key is found without a database lookup: one guess in
// 2^40 causes one.
type Secret string

// secretPrefix lets people and scanners for leaked secrets recognize an API key.
const secretPrefix = "alk_"

const (
	randomBytes = 20
	tagBytes    = 5
)

func (p Pepper) newSecret() Secret {
	var b [randomBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return Secret(secretPrefix + id.Encoding.EncodeToString(append(b[:], p.tag(b[:])...)))
}

// tag authenticates the random part of a secret. Its input differs from every input of Hash.
func (p Pepper) tag(random []byte) []byte {
	mac := hmac.New(sha256.New, p.secret)
	mac.Write([]byte("airlock API key\n"))
	mac.Write(random)
	return mac.Sum(nil)[:tagBytes]
}

// ParseSecret returns false if the text is not a secret that was made with this pepper.
func (p Pepper) ParseSecret(text string) (Secret, bool) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(rest) != id.Encoding.EncodedLen(randomBytes+tagBytes) {
		return "", false
	}
	b, err := id.Encoding.DecodeString(rest)
	if err != nil || !hmac.Equal(p.tag(b[:randomBytes]), b[randomBytes:]) || id.Encoding.EncodeToString(b) != rest {
		return "", false
	}
	return Secret(text), true
}

// String keeps the secret out of logs and messages.
func (Secret) String() string { return secretPrefix + "…" }

// Reveal returns the text of the secret. The API shows it only in the response that issues the key.
func (s Secret) Reveal() string { return string(s) }
