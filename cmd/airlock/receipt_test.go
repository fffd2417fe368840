package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/receipt"
)

// writeKeyPair writes a key pair as openssl does, and returns the signing key and the file of the public one.
func writeKeyPair(t *testing.T) (signer *receipt.Key, publicFile string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	signer, err = receipt.ParseKey(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	require.NoError(t, err)
	return signer, writePublicKey(t, public)
}

func writePublicKey(t *testing.T, public ed25519.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "receipt.pub")
	require.NoError(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600))
	return file
}

// A signature says something only about a known key: without one, verify is a mistake of its caller.
func TestReceiptVerify(t *testing.T) {
	signer, operators := writeKeyPair(t)
	forger, forgers := writeKeyPair(t)
	text, err := receipt.Marshal(receipt.Receipt{Version: receipt.Version, Execution: "exe_1", Status: "succeeded"}, signer)
	require.NoError(t, err)
	forged, err := receipt.Marshal(receipt.Receipt{Version: receipt.Version, Execution: "exe_1", Status: "succeeded"}, forger)
	require.NoError(t, err)
	unsigned, err := receipt.Marshal(receipt.Receipt{Version: receipt.Version, Execution: "exe_1"}, nil)
	require.NoError(t, err)
	smallOrder := writePublicKey(t, append([]byte{1}, make([]byte, 31)...))

	for name, c := range map[string]struct {
		args   []string
		input  string
		code   int
		output string // of standard output, or of standard error if the code is not 0
	}{
		"the operator's key":          {[]string{"--key", operators}, text, 0, "verified: exe_1"},
		"another signer":              {[]string{"--key", operators}, forged, exitFailed, "another key"},
		"another key":                 {[]string{"--key", forgers}, text, exitFailed, "another key"},
		"no key":                      {nil, text, exitUsage, "--key"},
		"no key, with another signer": {nil, forged, exitUsage, "--integrity-only"},
		"integrity":                   {[]string{"--integrity-only"}, forged, 0, "The signer was not checked"},
		"integrity of a changed one":  {[]string{"--integrity-only"}, forged[:len(forged)-40] + "A" + forged[len(forged)-39:], exitFailed, "signature"},
		"integrity without any":       {[]string{"--integrity-only"}, unsigned, exitFailed, "not signed"},
		"both":                        {[]string{"--integrity-only", "--key", operators}, text, exitUsage, "exclude"},
		"a key of small order":        {[]string{"--key", smallOrder}, text, exitFailed, "order is small"},
		"no such file":                {[]string{"--key", operators + ".no"}, text, exitFailed, "--key"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := runCLI(t, c.input, append([]string{"receipt", "verify", "-"}, c.args...)...)
			require.Equal(t, c.code, code, stderr)
			if c.code == 0 {
				require.Contains(t, stdout, c.output)
			} else {
				require.Contains(t, stderr, c.output)
				require.Empty(t, stdout)
			}
		})
	}
}
