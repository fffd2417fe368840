package apikey

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

const minPepperBytes = 32

// Pepper is a secret of the operator. The stored hashes of API keys are useless without it. All processes of one
// Airlock use the same pepper.
type Pepper struct{ secret []byte }

// NewPepper returns an error if the secret is shorter than 32 bytes.
func NewPepper(secret []byte) (Pepper, error) {
	if len(secret) < minPepperBytes {
		return Pepper{}, fmt.Errorf("a pepper must have at least %d bytes, not %d; `openssl rand -hex %d` makes one",
			minPepperBytes, len(secret), minPepperBytes)
	}
	return Pepper{secret: secret}, nil
}

// Hash returns what is stored instead of a secret. API keys are looked up by it, so no comparison takes longer the more
// of a secret is right.
func (p Pepper) Hash(s Secret) string {
	mac := hmac.New(sha256.New, p.secret)
	mac.Write([]byte(s))
	return hex.EncodeToString(mac.Sum(nil))
}

// String keeps the pepper out of logs and messages.
func (Pepper) String() string { return "pepper" }
