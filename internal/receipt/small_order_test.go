package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"testing"

	"filippo.io/edwards25519"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/receipt"
)

// smallOrderKeys returns all encodings of the 8 points of small order that a decoder accepts, canonical or not. The y
// of such a point is 0, 1, -1, or one of the two of order 8; y + p is another encoding of a small y, and the sign of x
// is free where x is 0.
func smallOrderKeys(t *testing.T) (keys [][]byte) {
	t.Helper()
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	order8, ok := new(big.Int).SetString("7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7", 16)
	require.True(t, ok)
	distinct := map[[32]byte]bool{}
	for _, y := range []*big.Int{
		big.NewInt(0), big.NewInt(1), new(big.Int).Sub(p, big.NewInt(1)), order8, new(big.Int).Sub(p, order8),
	} {
		for _, encoded := range []*big.Int{y, new(big.Int).Add(y, p)} {
			if encoded.BitLen() > 255 {
				continue
			}
			for _, sign := range []byte{0, 0x80} {
				key := encoded.FillBytes(make([]byte, 32))
				slices.Reverse(key)
				key[31] |= sign
				keys = append(keys, key)
				point, err := new(edwards25519.Point).SetBytes(key)
				require.NoError(t, err, "%x", key)
				distinct[[32]byte(point.Bytes())] = true
			}
		}
	}
	require.Len(t, distinct, 8, "all points of small order")
	require.Len(t, keys, 14)
	return keys
}

func publicPEM(t *testing.T, key []byte) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey(key))
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

// crypto/ed25519 accepts a signature that nobody made (R the identity, S 0) under a key of small order, for one text in
// a few. Neither a file nor a receipt can bring such a key.
func TestSmallOrderKeysAreRefused(t *testing.T) {
	k, _, _ := newKey(t)
	text := mustMarshal(t, testFacts(), k)
	accepted := 0
	for _, key := range smallOrderKeys(t) {
		_, err := receipt.ParsePublicKey(publicPEM(t, key))
		require.ErrorIs(t, err, receipt.ErrInvalidKey, "%x", key)
		require.ErrorContains(t, err, "not a valid ed25519 key: its order is small", "%x", key)
		_, err = receipt.Verify(text, key)
		require.ErrorIs(t, err, receipt.ErrInvalidKey, "%x", key)

		// R the identity, S 0.
		signature := make([]byte, ed25519.SignatureSize)
		signature[0] = 1
		for attempt := range 64 {
			forged := forge(t, text, key, signature, attempt)
			_, err := receipt.VerifyIntegrity(forged)
			require.ErrorIs(t, err, receipt.ErrInvalidSignature)
			require.ErrorIs(t, err, receipt.ErrInvalidKey, "%x", key)
			require.ErrorContains(t, err, "the public key in it: not a valid ed25519 key: its order is small")
			if ed25519.Verify(key, signedText(t, forged), signature) {
				accepted++
				break
			}
		}
	}
	require.Positive(t, accepted, "crypto/ed25519 alone accepts such signatures, so the test is one")
}

// forge returns the receipt with another key and signature, and another number of the attempt.
func forge(t *testing.T, text, key, signature []byte, attempt int) []byte {
	t.Helper()
	var r receipt.Receipt
	require.NoError(t, json.Unmarshal(text, &r))
	old := *r.Signature
	id := sha256.Sum256(key)
	forged := bytes.Replace(text, []byte(old.PublicKey), []byte(base64.RawURLEncoding.EncodeToString(key)), 1)
	forged = bytes.Replace(forged, []byte(old.Value), []byte(base64.RawURLEncoding.EncodeToString(signature)), 1)
	forged = bytes.Replace(forged, []byte(old.KeyID), []byte(hex.EncodeToString(id[:16])), 1)
	changed, err := json.Marshal(attempt)
	require.NoError(t, err)
	return bytes.Replace(forged, []byte(`"attempt":2`), append([]byte(`"attempt":`), changed...), 1)
}

// signedText returns what the signature of a receipt covers.
func signedText(t *testing.T, text []byte) []byte {
	t.Helper()
	var r receipt.Receipt
	require.NoError(t, json.Unmarshal(text, &r))
	unsigned := bytes.Replace(text, []byte(`,"value":"`+r.Signature.Value+`"`), nil, 1)
	require.NotEqual(t, text, unsigned)
	return append([]byte("airlock receipt 3\n"), unsigned...)
}

// S and S + L are the same number modulo the order L of the curve: only the smaller one is a signature.
func TestMalleableSignatureIsRefused(t *testing.T) {
	k, _, public := newKey(t)
	text := mustMarshal(t, testFacts(), k)
	key, err := receipt.ParsePublicKey(public)
	require.NoError(t, err)
	var r receipt.Receipt
	require.NoError(t, json.Unmarshal(text, &r))
	signature, err := base64.RawURLEncoding.DecodeString(r.Signature.Value)
	require.NoError(t, err)
	require.True(t, ed25519.Verify(key, signedText(t, text), signature))

	order, ok := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	require.True(t, ok)
	s := slices.Clone(signature[32:])
	slices.Reverse(s)
	s = new(big.Int).Add(new(big.Int).SetBytes(s), order).FillBytes(make([]byte, 32))
	slices.Reverse(s)
	copy(signature[32:], s)
	changed := bytes.Replace(text, []byte(r.Signature.Value), []byte(base64.RawURLEncoding.EncodeToString(signature)), 1)
	_, err = receipt.Verify(changed, key)
	require.ErrorIs(t, err, receipt.ErrInvalidSignature)
}

func TestVerifyNeedsAKey(t *testing.T) {
	k, _, _ := newKey(t)
	text := mustMarshal(t, testFacts(), k)
	_, err := receipt.Verify(text, nil)
	require.ErrorIs(t, err, receipt.ErrInvalidKey)
	_, err = receipt.Verify(text, bytes.Repeat([]byte{2}, 32))
	require.ErrorIs(t, err, receipt.ErrInvalidKey, "not a point of the curve")
}
