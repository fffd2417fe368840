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
const purpose = "airlock receipt 1\n"

// Write gives the receipt in canonical JSON (RFC 8785), signed unless key is
// nil. It has at most MaxSize bytes: what would not fit are the Engine's words
// about the settings, which are then left out.
func Write(r Receipt, key *Key) (string, error) {
	written, err := write(r, key)
	if err == nil && len(written) > MaxSize && r.Sandbox != nil {
		short := *r.Sandbox
		short.Settings = nil
		r.Sandbox = &short
		written, err = write(r, key)
	}
	if err == nil && len(written) > MaxSize {
		err = fmt.Errorf("receipt of %d bytes", len(written))
	}
	return string(written), err
}

func write(r Receipt, key *Key) (jsontext.Value, error) {
	if key == nil {
		return canonical(r)
	}
	r.Signature = &Signature{Algorithm: algorithm, KeyID: key.ID(), PublicKey: encode(key.public())}
	signed, err := canonical(r)
	if err != nil {
		return nil, err
	}
	r.Signature.Value = encode(ed25519.Sign(key.private, append([]byte(purpose), signed...)))
	return canonical(r)
}

func canonical(v any) (jsontext.Value, error) {
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
