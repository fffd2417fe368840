package receipt

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Errors of Verify.
var (
	ErrMalformed        = errors.New("not a receipt")
	ErrUnsigned         = errors.New("the receipt is not signed")
	ErrKeyMismatch      = errors.New("the receipt is signed with another key")
	ErrInvalidSignature = errors.New("the signature does not match the receipt")
)

// Verify checks that a receipt, of any version so far, was signed with the private part of key and not changed since.
// It returns its content. White space may have been added between the tokens.
func Verify(data []byte, key ed25519.PublicKey) (Receipt, error) {
	if err := checkPublicKey(key); err != nil {
		return Receipt{}, err
	}
	return verify(data, key)
}

// VerifyIntegrity checks a receipt against the public key in it. That shows that the bytes were not changed by
// accident. It does not show who signed the receipt: a person who changes it can sign it again with another key.
func VerifyIntegrity(data []byte) (Receipt, error) { return verify(data, nil) }

// verify checks the signature with key, or, if key is nil, with the public key in the receipt.
func verify(data []byte, key ed25519.PublicKey) (Receipt, error) {
	value := jsontext.Value(bytes.Clone(data))
	if len(data) > 2*MaxSize {
		return Receipt{}, fmt.Errorf("%w: it has %d bytes", ErrMalformed, len(data))
	}
	// The signature covers the canonical form, so a change that canonicalizing undoes must be found here.
	if err := value.Compact(); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	canonical := value.Clone()
	if err := canonical.Canonicalize(); err != nil || !bytes.Equal(canonical, value) {
		return Receipt{}, fmt.Errorf("%w: it is not in canonical form", ErrMalformed)
	}
	r, err := unmarshal(value)
	if err != nil {
		return Receipt{}, err
	}
	if r.Signature == nil {
		return r, ErrUnsigned
	}
	return r, r.Signature.verify(value, signaturePrefix(r.Version), key)
}

// unmarshal decodes a receipt of any version.
func unmarshal(value jsontext.Value) (Receipt, error) {
	var r Receipt
	if err := json.Unmarshal(value, &r); err != nil {
		return Receipt{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	switch r.Version {
	case 1:
		var old receiptV1
		if err := json.Unmarshal(value, &old); err != nil {
			return Receipt{}, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		old.copyRenamedFields(&r)
	case 2, Version: // 3 only has more fields
	default:
		return Receipt{}, fmt.Errorf("%w of version 1 to %d", ErrMalformed, Version)
	}
	return r, nil
}

// receiptV1 has the fields of version 1 that version 2 renamed.
type receiptV1 struct {
	Tenant  string `json:"owner"`
	Sandbox struct {
		EndReason string `json:"end"`
	} `json:"sandbox"`
	Egress struct {
		BytesReceived int64 `json:"bytesBack"`
	} `json:"egress"`
}

func (old receiptV1) copyRenamedFields(r *Receipt) {
	r.Tenant, r.Egress.BytesReceived = old.Tenant, old.Egress.BytesReceived
	if r.Sandbox != nil {
		r.Sandbox.EndReason = old.Sandbox.EndReason
	}
}

func (s Signature) verify(receipt jsontext.Value, prefix string, key ed25519.PublicKey) error {
	publicKey, err := base64url.DecodeString(s.PublicKey)
	if err != nil || len(publicKey) != ed25519.PublicKeySize || s.Algorithm != algorithm || s.KeyID != keyID(publicKey) {
		return fmt.Errorf("%w: the public key in it is malformed", ErrInvalidSignature)
	}
	if err := checkPublicKey(publicKey); err != nil {
		return fmt.Errorf("%w: the public key in it: %w", ErrInvalidSignature, err)
	}
	if key != nil && !key.Equal(ed25519.PublicKey(publicKey)) {
		return ErrKeyMismatch
	}
	signature, err := base64url.DecodeString(s.Value)
	if err != nil {
		return fmt.Errorf("%w: the signature is malformed", ErrInvalidSignature)
	}
	signed, err := signedContent(receipt)
	if err != nil {
		return err
	}
	if !ed25519.Verify(publicKey, append([]byte(prefix), signed...), signature) {
		return ErrInvalidSignature
	}
	return nil
}

// signedContent returns the receipt without the signature's value, which is what was signed. It does not decode into
// Receipt, so that fields that Receipt does not have stay in it.
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
