package receipt

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Why a receipt does not verify.
var (
	ErrMalformed        = errors.New("not a receipt")
	ErrUnsigned         = errors.New("the receipt is not signed")
	ErrKeyMismatch      = errors.New("the receipt is signed with another key")
	ErrInvalidSignature = errors.New("the receipt is not what was signed")
)

// Verify checks a receipt as Write gave it; white space between its parts may
// have been added. Without a key it goes by the one that the receipt names: that
// shows that the receipt was not changed, and not who signed it.
func Verify(data []byte, key ed25519.PublicKey) (Receipt, error) {
	value := jsontext.Value(bytes.Clone(data))
	if len(data) > 2*MaxSize {
		return Receipt{}, fmt.Errorf("%w: it has %d bytes", ErrMalformed, len(data))
	}
	// One way to write it, or a change in its letters alone would go unnoticed.
	if err := value.Compact(); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	canonical := value.Clone()
	if err := canonical.Canonicalize(); err != nil || !bytes.Equal(canonical, value) {
		return Receipt{}, fmt.Errorf("%w: it is not in canonical form", ErrMalformed)
	}
	var r Receipt
	if err := json.Unmarshal(value, &r); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch {
	case r.Version != Version:
		return Receipt{}, fmt.Errorf("%w of version %d", ErrMalformed, Version)
	case r.Signature == nil:
		return r, ErrUnsigned
	}
	return r, r.Signature.verify(value, key)
}

func (s Signature) verify(receipt jsontext.Value, key ed25519.PublicKey) error {
	publicKey, err := base64url.DecodeString(s.PublicKey)
	if err != nil || len(publicKey) != ed25519.PublicKeySize || s.Algorithm != algorithm || s.KeyID != keyID(publicKey) {
		return fmt.Errorf("%w: its key cannot be read", ErrInvalidSignature)
	}
	if key != nil && !key.Equal(ed25519.PublicKey(publicKey)) {
		return ErrKeyMismatch
	}
	signature, err := base64url.DecodeString(s.Value)
	if err != nil {
		return fmt.Errorf("%w: its signature cannot be read", ErrInvalidSignature)
	}
	signed, err := signedContent(receipt)
	if err != nil {
		return err
	}
	if !ed25519.Verify(publicKey, append([]byte(signaturePrefix), signed...), signature) {
		return ErrInvalidSignature
	}
	return nil
}

// withoutValue is what was signed. It goes by names and not by Receipt, so that
// members which only a newer version knows are kept.
func signedContent(receipt jsontext.Value) (jsontext.Value, error) {
	var members, signature map[string]jsontext.Value
	if err := json.Unmarshal(receipt, &members); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if err := json.Unmarshal(members["signature"], &signature); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	delete(signature, "value")
	var err error
	if members["signature"], err = canonicalJSON(signature); err != nil {
		return nil, err
	}
	return canonicalJSON(members)
}
