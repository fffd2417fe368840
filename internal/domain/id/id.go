// Package id makes and checks the IDs of Airlock's resources.
//
// In: the prefix of a kind of resource. Out: an ID, random (New) or derived from a hash (FromHash).
// The package never stores an ID and never checks whether a resource exists.
package id

import (
	"crypto/rand"
	"encoding/base32"
	"strings"
)

// Prefixes tell people what an ID names. Programs must not parse IDs.
const (
	Execution    = "exe_"
	Conversation = "con_"
	Agent        = "agt_"
	Batch        = "bat_"
	Environment  = "env_"
	Delivery     = "dlv_"
	APIKey       = "key_"
	File         = "file_"
	Process      = "prc_" // a running API or executor
)

// randomBytes is 120 bits: IDs cannot be guessed, do not collide, and have exactly 24 letters of base 32.
const randomBytes = 15

// alphabet is Crockford's: it has no i, l, o and u, which people confuse with other letters and digits.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// Encoding is the base 32 of IDs and of the secrets of API keys.
var Encoding = base32.NewEncoding(alphabet).WithPadding(base32.NoPadding)

// New returns a new random ID. It does not begin with a time, because Firestore distributes documents over its servers
// by their IDs: ascending IDs would overload one server.
func New(prefix string) string {
	var b [randomBytes]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return prefix + Encoding.EncodeToString(b[:])
}

// FromHash returns the ID that a hash determines: the same hash gives the same ID.
func FromHash(prefix string, sum [32]byte) string {
	return prefix + Encoding.EncodeToString(sum[:randomBytes])
}

// Valid reports whether s has the form of an ID with this prefix. Other texts need no database lookup.
func Valid(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && len(rest) == Encoding.EncodedLen(randomBytes) && strings.Trim(rest, alphabet) == ""
}
