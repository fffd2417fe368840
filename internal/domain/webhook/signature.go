package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Secrets sign the deliveries of one tenant. Its Firestore document is this struct.
type Secrets struct {
	Current   Secret     `firestore:"current"`
	Previous  Secret     `firestore:"previous"`  // empty before the first rotation
	RotatedAt *time.Time `firestore:"rotatedAt"` // nil before the first rotation
}

// Secret is a key in the form of Standard Webhooks: "whsec_" and base64.
type Secret string

const (
	secretPrefix = "whsec_"
	secretBytes  = 32 // the standard allows 24 to 64
	// rotationOverlap is how long the previous secret signs as well, so that receivers have time to change.
	rotationOverlap = 24 * time.Hour
)

// NewSecrets returns secrets for a tenant that has none.
func NewSecrets() Secrets { return Secrets{Current: newSecret()} }

func newSecret() Secret {
	var key [secretBytes]byte
	_, _ = rand.Read(key[:]) // never fails: crypto/rand ends the program instead
	return Secret(secretPrefix + base64.StdEncoding.EncodeToString(key[:]))
}

// Rotate replaces the current secret at now.
func (s *Secrets) Rotate(now time.Time) {
	s.Previous, s.Current, s.RotatedAt = s.Current, newSecret(), &now
}

// Signature returns the header webhook-signature of a message that is sent at now: one signature for each secret that
// receivers may still use.
func (s *Secrets) Signature(messageID string, now time.Time, body string) (string, error) {
	signature, err := s.Current.sign(messageID, now, body)
	if err != nil || s.RotatedAt == nil || now.After(s.RotatedAt.Add(rotationOverlap)) {
		return signature, err
	}
	previous, err := s.Previous.sign(messageID, now, body)
	return signature + " " + previous, err
}

func (s Secret) sign(messageID string, now time.Time, body string) (string, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(s), secretPrefix))
	if err != nil {
		return "", fmt.Errorf("webhook secret: %w", err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(messageID + "." + strconv.FormatInt(now.Unix(), 10) + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)), nil
}
