package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// minPepper is the least length of a pepper, in bytes.
const minPepperBytes = 32

// Pepper is the operator's own secret, without which what is stored of a key
// is of no use. All processes of an Airlock have the same.
type Pepper struct{ secret []byte }

// NewPepper refuses what is too short to be one.
func NewPepper(secret []byte) (Pepper, error) {
	if len(secret) < minPepperBytes {
		return Pepper{}, fmt.Errorf("a pepper has at least %d bytes, not %d; `openssl rand -hex %d` makes one", minPepperBytes, len(secret), minPepperBytes)
	}
	return Pepper{secret: secret}, nil
}

// Hash is all that is kept of a secret. Secrets are looked up by it, so that
// no comparison ever takes longer the more of a secret is right.
func (p Pepper) Hash(s Secret) string {
	mac := hmac.New(sha256.New, p.secret)
	mac.Write([]byte(s))
	return hex.EncodeToString(mac.Sum(nil))
}

// String keeps a pepper out of logs and messages.
func (Pepper) String() string { return "pepper" }
