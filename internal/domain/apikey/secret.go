package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"strings"

	"github.com/airlock-run/airlock/internal/domain/id"
)

// Secret is the text of an API key that a caller sends: the prefix, 160 random bits, and a checksum of 40 bits. The
// checksum detects typing errors without a database lookup.
type Secret string

// secretPrefix lets people and scanners for leaked secrets recognize an API key.
const secretPrefix = "alk_"

const (
	randomBytes   = 20
	checksumBytes = 5
)

func newSecret() Secret {
	var b [randomBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return encodeSecret(b[:])
}

func encodeSecret(random []byte) Secret {
	return Secret(secretPrefix + id.Encoding.EncodeToString(append(random[:randomBytes:randomBytes], checksum(random)...)))
}

// checksum detects mistakes, not forgeries: it needs no key.
func checksum(random []byte) []byte {
	sum := sha256.Sum256(append([]byte(secretPrefix), random...))
	return sum[:checksumBytes]
}

// ParseSecret returns false if the text cannot be a secret.
func ParseSecret(text string) (Secret, bool) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(rest) != id.Encoding.EncodedLen(randomBytes+checksumBytes) {
		return "", false
	}
	b, err := id.Encoding.DecodeString(rest)
	if err != nil || string(encodeSecret(b[:randomBytes])) != text {
		return "", false
	}
	return Secret(text), true
}

// String keeps the secret out of logs and messages.
func (Secret) String() string { return secretPrefix + "…" }

// Reveal returns the text of the secret. The API shows it only in the response that issues the key.
func (s Secret) Reveal() string { return string(s) }
