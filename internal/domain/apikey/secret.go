package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// Secret is what the holder of a key shows: the prefix, 160 random bits and 40
// bits by which a typing error is told apart without asking anybody.
type Secret string

// secretPrefix lets people, and scanners for leaked secrets, see what it is.
const secretPrefix = "alk_"

const (
	randomBytes   = 20
	checksumBytes = 5
)

// letters are those of our IDs: without i, l, o and u, which are mistaken for others.
var crockfordBase32 = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// newSecret returns a fresh one.
func newSecret() Secret {
	var b [randomBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return encodeSecret(b[:])
}

func encodeSecret(random []byte) Secret {
	return Secret(secretPrefix + crockfordBase32.EncodeToString(append(random[:randomBytes:randomBytes], checksum(random)...)))
}

// checksum finds mistakes; it keeps nobody from making a secret of their own.
func checksum(random []byte) []byte {
	sum := sha256.Sum256(append([]byte(secretPrefix), random...))
	return sum[:checksumBytes]
}

// Parse reads a secret and reports whether it can be one.
func ParseSecret(text string) (Secret, bool) {
	rest, ok := strings.CutPrefix(text, secretPrefix)
	if !ok || len(rest) != crockfordBase32.EncodedLen(randomBytes+checksumBytes) {
		return "", false
	}
	b, err := crockfordBase32.DecodeString(rest)
	if err != nil || string(encodeSecret(b[:randomBytes])) != text {
		return "", false
	}
	return Secret(text), true
}

// String keeps a secret out of logs and messages.
func (Secret) String() string { return secretPrefix + "…" }

// Reveal returns the secret itself, to be shown once.
func (s Secret) Reveal() string { return string(s) }
