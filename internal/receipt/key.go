package receipt

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"

	"filippo.io/edwards25519"
)

// ErrInvalidKey says that a key, of a file or of a receipt, is not one for receipts.
var ErrInvalidKey = errors.New("not a valid ed25519 key")

// errInvalidPEM is the ErrInvalidKey of a file that has no key to check.
var errInvalidPEM = fmt.Errorf("%w in PEM", ErrInvalidKey)

// Key signs receipts.
type Key struct{ private ed25519.PrivateKey }

// ParseKey reads a private key (PKCS #8, PEM), as `openssl genpkey -algorithm ed25519` writes it.
func ParseKey(text []byte) (*Key, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errInvalidPEM
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalidPEM, err)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%w: it has another algorithm", ErrInvalidKey)
	}
	return &Key{private}, nil
}

// ParsePublicKey reads a public key (PKIX, PEM), as `openssl pkey -pubout` writes it.
func ParsePublicKey(text []byte) (ed25519.PublicKey, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errInvalidPEM
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errInvalidPEM, err)
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("%w: it has another algorithm", ErrInvalidKey)
	}
	return public, checkPublicKey(public)
}

// checkPublicKey refuses bytes that are not a point of the curve, and points of small order: with such a key one
// signature fits many texts, and everybody can make it. crypto/ed25519 accepts them, as RFC 8032 allows.
func checkPublicKey(public ed25519.PublicKey) error {
	point, err := new(edwards25519.Point).SetBytes(public)
	if err != nil {
		return fmt.Errorf("%w: it is not a point of the curve", ErrInvalidKey)
	}
	if point.MultByCofactor(point).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return fmt.Errorf("%w: its order is small, so it proves nothing", ErrInvalidKey)
	}
	return nil
}

// ID returns the key's ID in receipts.
func (k *Key) ID() string { return keyID(k.public()) }

func (k *Key) public() ed25519.PublicKey {
	return ed25519.PublicKey(k.private[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

const keyIDSize = 16 // bytes

// keyID returns the first keyIDSize bytes of the SHA-256 of the key's 32 bytes, in hex.
func keyID(public ed25519.PublicKey) string {
	sum := sha256.Sum256(public)
	return hex.EncodeToString(sum[:keyIDSize])
}

// base64url is strict, so that unused bits of the text cannot change without changing the decoded bytes.
var base64url = base64.RawURLEncoding.Strict()

func encodeBase64(data []byte) string { return base64url.EncodeToString(data) }
