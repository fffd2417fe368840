// Package id makes the opaque identifiers of Airlock's resources.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// Prefixes say what an ID names, for people; programs treat IDs as opaque.
const (
	Execution    = "exe_"
	Conversation = "con_"
	Agent        = "agt_"
	Batch        = "bat_"
	Delivery     = "dlv_"
	APIKey       = "key_"
)

// bytes of randomness: 120 bits, so that IDs are neither guessed nor met twice,
// and fill 24 letters of base 32 exactly.
const randomBytes = 15

// letters leave out i, l, o and u, which people mistake for others.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

var crockfordBase32 = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// New returns a fresh random ID. It is random rather than in order of time
// because Firestore spreads documents by their IDs.
func New(prefix string) string {
	var b [randomBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return prefix + crockfordBase32.EncodeToString(b[:])
}

// Derived returns the ID that follows from a hash: the same hash, the same ID.
func FromHash(prefix string, sum [32]byte) string {
	return prefix + crockfordBase32.EncodeToString(sum[:randomBytes])
}

// Valid reports whether s has the form of an ID with this prefix. What does
// not can be refused without asking the database.
func Valid(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && len(rest) == crockfordBase32.EncodedLen(randomBytes) && strings.Trim(rest, alphabet) == ""
}
