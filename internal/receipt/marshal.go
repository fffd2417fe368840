package receipt

import (
	"crypto/ed25519"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Signature is made with the operator's key. It covers the canonical receipt, including the signature's fields except
// Value.
type Signature struct {
	Algorithm string `json:"algorithm"` // "ed25519"
	KeyID     string `json:"keyId"`
	PublicKey string `json:"publicKey"` // base64url without padding; the receipt does not prove whose key it is
	Value     string `json:"value,omitempty"`
}

const algorithm = "ed25519"

// signaturePrefix is signed in front of the receipt, so that a signature by the same key over other data, or over a
// receipt of another version, does not verify.
func signaturePrefix(version int) string { return fmt.Sprintf("airlock receipt %d\n", version) }

// Marshal returns the receipt in canonical JSON (RFC 8785), signed unless key is nil. It has at most MaxSize bytes: if
// it were larger, Marshal omits the settings that the Engine reported.
func Marshal(r Receipt, key *Key) (string, error) {
	encoded, err := marshalSigned(r, key)
	if err == nil && len(encoded) > MaxSize && r.Sandbox != nil {
		trimmed := *r.Sandbox
		trimmed.Settings = nil
		r.Sandbox = &trimmed
		encoded, err = marshalSigned(r, key)
	}
	if err == nil && len(encoded) > MaxSize {
		err = fmt.Errorf("the receipt has %d bytes, more than %d", len(encoded), MaxSize)
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
	r.Signature.Value = encodeBase64(ed25519.Sign(key.private, append([]byte(signaturePrefix(r.Version)), signed...)))
	return canonicalJSON(r)
}

func canonicalJSON(v any) (jsontext.Value, error) {
	// A name that the Engine or an operator chose may be invalid UTF-8.
	data, err := json.Marshal(v, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		return nil, fmt.Errorf("marshal receipt: %w", err)
	}
	value := jsontext.Value(data)
	if err := value.Canonicalize(); err != nil {
		return nil, fmt.Errorf("marshal receipt: %w", err)
	}
	return value, nil
}
