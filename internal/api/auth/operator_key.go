package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// minOperatorKeyBytes makes an operator key hard to guess.
const minOperatorKeyBytes = 32

// OperatorKey identifies the operator of the installation. It holds only a hash of the key. It is safe for concurrent
// use; a nil one matches nobody.
type OperatorKey struct{ hash [sha256.Size]byte }

// NewOperatorKey returns an error, which does not contain the key, if the key is too short or cannot be sent in a
// header.
func NewOperatorKey(secret string) (*OperatorKey, error) {
	if len(secret) < minOperatorKeyBytes {
		return nil, fmt.Errorf("the operator's key must have at least %d characters, not %d; `openssl rand -hex %d` makes one",
			minOperatorKeyBytes, len(secret), minOperatorKeyBytes)
	}
	if strings.ContainsFunc(secret, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the operator's key must have only visible ASCII characters and no blanks")
	}
	return &OperatorKey{hash: sha256.Sum256([]byte(secret))}, nil
}

// Matches reports whether a request has the operator's key as its bearer token. The time that it takes says nothing
// about the key.
func (k *OperatorKey) Matches(r *http.Request) bool {
	if k == nil {
		return false
	}
	hash := sha256.Sum256([]byte(BearerToken(r.Header.Get("Authorization"))))
	return subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1
}

// String keeps the hash out of logs.
func (*OperatorKey) String() string { return "operator key" }
