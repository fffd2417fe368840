package receipt

import (
	"crypto/ed25519"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Signature is by the operator's key over the receipt in canonical form, with
// all of the signature but its Value in it.
type Signature struct {
	Algorithm string `json:"algorithm"` // "ed25519"
	KeyID     string `json:"keyId"`
	PublicKey string `json:"publicKey"` // base64url without padding; whose it is, only the operator can say
	Value     string `json:"value,omitempty"`
}

const algorithm = "ed25519"

// purpose is signed before the receipt, so that a signature over something else
// by the same key is never one over a receipt.
const signaturePrefix = "airlock receipt 1\n"

// Write gives the receipt in canonical JSON (RFC 8785), signed unless key is
// nil. It has at most MaxSize bytes: what would not fit are the Engine's words
// about the settings, which are then left out.
func Marshal(r Receipt, key *Key) (string, error) {
	encoded, err := marshalSigned(r, key)
	if err == nil && len(encoded) > MaxSize && r.Sandbox != nil {
		trimmed := *r.Sandbox
		trimmed.Settings = nil
		r.Sandbox = &trimmed
		encoded, err = marshalSigned(r, key)
	}
	if err == nil && len(encoded) > MaxSize {
		err = fmt.Errorf("receipt of %d bytes", len(encoded))
	}
	return string(encoded), err
}

func marshalSigned(r Receipt, key *Key) (jsontext.Value, error) {
	if key == nil {
		return canonicalJSON(r)
	}
	r.Signature = &Signature{Algorithm: algorithm, KeyID: key.ID(), PublicKey: encodeBase64(key.public())}
	signed, err := canonicalJSON(r)
	if err != nil {
		return nil, err
	}
	r.Signature.Value = encodeBase64(ed25519.Sign(key.private, append([]byte(signaturePrefix), signed...)))
	return canonicalJSON(r)
}

func canonicalJSON(v any) (jsontext.Value, error) {
	// A name that the Engine or an operator chose may be no UTF-8.
	data, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("write receipt: %w", err)
	}
	value := jsontext.Value(data)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("write receipt: %w", err)
	}
	return value, nil
}
