package receipt_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
)

var (
	queued  = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	claimed = queued.Add(time.Second)
	local   = time.Now() // the executor's clock, with a monotonic reading
)

func testFacts() receipt.Facts {
	started := claimed
	return receipt.Facts{
		Execution: &execution.Execution{
			ID: "exe_1", Tenant: "ada", Attempt: 2, CreatedAt: queued, StartedAt: &started,
			Task: execution.Task{Runtime: "claude", Input: "hello <&> 세상"},
		},
		Ending:   execution.Ending{Status: execution.Succeeded, Result: &execution.Result{Text: "hi"}},
		Result:   &execution.Result{Text: "hi"},
		Executor: "host-1", Model: "claude-haiku-4-5", Claimed: local,
		Job: sandbox.Job{Timeout: time.Minute},
		Outcome: sandbox.Outcome{
			EndReason: sandbox.Exited, OOMKills: 2, PeakMemory: 1 << 20, CPUTime: 70 * time.Millisecond, Wall: 90 * time.Millisecond,
			Record: sandbox.Record{
				Container: "airlock-1", Limits: sandbox.DefaultLimits,
				Settings: sandbox.Settings{ImageID: "sha256:1", Runtime: "runc", CapDrop: []string{"ALL"}, Network: "none", NoNewPrivs: true},
				Times:    sandbox.Times{Dispatched: local.Add(5 * time.Millisecond), Result: local.Add(95 * time.Millisecond)},
			},
		},
		Egress: gateway.Summary{Calls: 2, EstimatedCalls: 1, Denied: 1, BytesSent: 100, BytesReceived: 200, CostUSD: 0.0125, Tokens: gateway.Tokens{Input: 10, CacheRead: 5, Output: 7}},
	}
}

// newKey makes a key, and returns the PEM texts of its private and public parts.
func newKey(t require.TestingT) (k *receipt.Key, private, public []byte) {
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(secret)
	require.NoError(t, err)
	private = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	der, err = x509.MarshalPKIXPublicKey(secret.Public())
	require.NoError(t, err)
	public = pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	k, err = receipt.ParseKey(private)
	require.NoError(t, err)
	return k, private, public
}

func mustMarshal(t require.TestingT, f receipt.Facts, k *receipt.Key) []byte {
	text, err := receipt.Marshal(receipt.New(f), k)
	require.NoError(t, err)
	return []byte(text)
}

func TestNew(t *testing.T) {
	var got map[string]any
	require.NoError(t, json.Unmarshal(mustMarshal(t, testFacts(), nil), &got))
	require.EqualValues(t, receipt.Version, got["version"])
	require.Equal(t, "exe_1", got["execution"])
	require.Equal(t, "ada", got["tenant"])
	require.Equal(t, "succeeded", got["status"])
	require.Equal(t, "claude-haiku-4-5", got["model"])
	require.NotContains(t, got, "code")
	require.NotContains(t, got, "signature")
	box := got["sandbox"].(map[string]any)
	require.Equal(t, "exited", box["endReason"])
	require.EqualValues(t, 0, box["exitCode"])
	require.EqualValues(t, 2, box["oomKills"])
	require.EqualValues(t, 1<<20, box["peakMemoryBytes"])
	require.EqualValues(t, 70, box["cpuMs"])
	require.EqualValues(t, 60_000, box["limits"].(map[string]any)["timeoutMs"])
	require.Equal(t, "none", box["settings"].(map[string]any)["network"])
	require.Equal(t, map[string]any{
		"calls": 2., "estimatedCalls": 1., "denied": 1., "bytesSent": 100., "bytesReceived": 200., "inputTokens": 15., "outputTokens": 7., "costUsd": 0.0125,
	}, got["egress"])
	require.Equal(t, map[string]any{
		"queued": "2026-05-01T12:00:00Z", "claimed": "2026-05-01T12:00:01Z", "dispatchedMs": 5., "resultMs": 95.,
	}, got["timeline"], "stages that were not reached are absent")
}

// A client can compute the hashes itself: of the complete result, even if the execution document holds only its
// beginning, and of the files as sha256sum lists them.
func TestResultHashes(t *testing.T) {
	f := testFacts()
	f.Result = &execution.Result{Text: "all of it", Output: `{"a":1}`}
	f.Ending.Result = &execution.Result{Text: "all", Complete: &execution.Content{Size: 1 << 20}}
	f.Ending.Files = []execution.File{
		{Path: "a b.txt", Content: execution.Content{Size: 1, SHA256: []byte{0xab, 0x01}}},
		{Path: "c/d", Content: execution.Content{Size: 2, SHA256: []byte{0x02}}},
	}
	r := receipt.New(f)
	require.Equal(t, hash("all of it\x00{\"a\":1}"), r.ResultSHA256)
	require.Equal(t, hash("ab01  a b.txt\n02  c/d\n"), r.FilesSHA256)
}

func hash(text string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(text))) }

// A stopped job has no outcome. A job that needed no container has no sandbox in its receipt.
func TestNewWithoutOutcome(t *testing.T) {
	f := testFacts()
	f.Ending = execution.NewCanceledFailure().Ending(execution.Usage{})
	f.Outcome = sandbox.Outcome{Record: f.Outcome.Record}
	r := receipt.New(f)
	require.Equal(t, "stopped", r.Sandbox.EndReason)
	require.Nil(t, r.Sandbox.ExitCode)
	require.Equal(t, execution.CodeCanceled, r.Code)
	require.Empty(t, r.ResultSHA256)

	f.Outcome = sandbox.Outcome{}
	require.Nil(t, receipt.New(f).Sandbox)
}

func TestMarshalIsCanonical(t *testing.T) {
	text := string(mustMarshal(t, testFacts(), nil))
	require.True(t, strings.HasPrefix(text, `{"attempt":2,"egress":{"bytesReceived":200,"bytesSent":100,`), text)
	require.NotContains(t, text, " ")
	require.Equal(t, text, string(mustMarshal(t, testFacts(), nil)), "the same facts give the same bytes")
}

func TestMarshalIsBounded(t *testing.T) {
	k, _, _ := newKey(t)
	f := testFacts()
	f.Outcome.Record.Settings.Image = strings.Repeat("x", 1<<20)
	text := mustMarshal(t, f, k)
	require.LessOrEqual(t, len(text), receipt.MaxSize)
	got, err := receipt.VerifyIntegrity(text)
	require.NoError(t, err)
	require.Nil(t, got.Sandbox.Settings)
	require.Equal(t, "airlock-1", got.Sandbox.Container)

	f.Executor = strings.Repeat("x", 1<<20)
	_, err = receipt.Marshal(receipt.New(f), k)
	require.Error(t, err)
}

func TestVerify(t *testing.T) {
	k, _, public := newKey(t)
	_, _, others := newKey(t)
	text := mustMarshal(t, testFacts(), k)
	mine, err := receipt.ParsePublicKey(public)
	require.NoError(t, err)
	theirs, err := receipt.ParsePublicKey(others)
	require.NoError(t, err)
	var indented bytes.Buffer
	require.NoError(t, json.Indent(&indented, text, "", "  "))
	extended := bytes.Replace(text, []byte(`"attempt":2,"egress"`), []byte(`"Attempt":3,"attempt":2,"egress"`), 1)

	for name, c := range map[string]struct {
		data []byte
		key  ed25519.PublicKey
		want error
	}{
		"the operator's key":       {text, mine, nil},
		"the key in the receipt":   {text, nil, nil},
		"indented":                 {indented.Bytes(), mine, nil},
		"another key":              {text, theirs, receipt.ErrKeyMismatch},
		"unsigned":                 {mustMarshal(t, testFacts(), nil), nil, receipt.ErrUnsigned},
		"an unknown version":       {[]byte(`{"version":4}`), nil, receipt.ErrMalformed},
		"no version":               {[]byte(`{}`), nil, receipt.ErrMalformed},
		"version 2, signed as 3":   {bytes.Replace(text, []byte(`"version":3`), []byte(`"version":2`), 1), mine, receipt.ErrInvalidSignature},
		"not an object":            {[]byte(`[]`), nil, receipt.ErrMalformed},
		"not JSON":                 {[]byte(`hello`), nil, receipt.ErrMalformed},
		"a duplicate field":        {[]byte(`{"version":2,"version":2}`), nil, receipt.ErrMalformed},
		"two receipts":             {append(bytes.Clone(text), text...), nil, receipt.ErrMalformed},
		"another order of fields":  {[]byte(`{"version":2,"attempt":1}`), nil, receipt.ErrMalformed},
		"an additional field":      {extended, nil, receipt.ErrInvalidSignature},
		"a number with a fraction": {bytes.Replace(text, []byte(`"attempt":2`), []byte(`"attempt":2.0`), 1), nil, receipt.ErrMalformed},
		"another signer":           {swapSigner(t, text), nil, receipt.ErrInvalidSignature},
		"too large":                {bytes.Repeat([]byte(" "), 1<<20), nil, receipt.ErrMalformed},
		"an unknown algorithm":     {bytes.Replace(text, []byte(`"algorithm":"ed25519"`), []byte(`"algorithm":"none"`), 1), nil, receipt.ErrInvalidSignature},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := receipt.VerifyIntegrity(c.data)
			if c.key != nil {
				got, err = receipt.Verify(c.data, c.key)
			}
			if c.want != nil {
				require.ErrorIs(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, k.ID(), got.Signature.KeyID)
			require.Equal(t, "exe_1", got.Execution)
		})
	}
}

// swapSigner replaces the public key of a signed receipt with another one, and leaves the signature.
func swapSigner(t *testing.T, text []byte) []byte {
	t.Helper()
	other, _, _ := newKey(t)
	var mine, theirs receipt.Receipt
	require.NoError(t, json.Unmarshal(text, &mine))
	require.NoError(t, json.Unmarshal(mustMarshal(t, testFacts(), other), &theirs))
	for _, pair := range [][2]string{
		{mine.Signature.PublicKey, theirs.Signature.PublicKey}, {mine.Signature.KeyID, theirs.Signature.KeyID},
	} {
		text = bytes.Replace(text, []byte(pair[0]), []byte(pair[1]), 1)
	}
	return text
}

// A receipt with any changed or missing byte does not verify.
func TestVerifyDetectsChangedByte(t *testing.T) {
	k, _, public := newKey(t)
	operators, err := receipt.ParsePublicKey(public)
	require.NoError(t, err)
	text := mustMarshal(t, testFacts(), k)
	rapid.Check(t, func(t *rapid.T) {
		changed := bytes.Clone(text)
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		if rapid.Bool().Draw(t, "cut") {
			changed = append(changed[:at], changed[at+1:]...)
		} else {
			changed[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
		}
		_, err := receipt.Verify(changed, operators)
		require.Error(t, err, "%s", changed)
		_, err = receipt.VerifyIntegrity(changed)
		require.Error(t, err, "%s", changed)
	})
}

// Replaces every byte with a few other values.
func TestVerifyDetectsAnyChangedByte(t *testing.T) {
	k, _, _ := newKey(t)
	text := mustMarshal(t, testFacts(), k)
	for at := range text {
		for _, other := range []byte{text[at] ^ 1, text[at] ^ 0x20, '0', ' ', '"'} {
			if other == text[at] {
				continue
			}
			changed := bytes.Clone(text)
			changed[at] = other
			_, err := receipt.VerifyIntegrity(changed)
			require.Error(t, err, "%s", changed)
		}
	}
}

// testdata/v1.json is a receipt that Airlock wrote when the version was 1, of a job with egress and output files.
func TestVerifyVersion1(t *testing.T) {
	text, err := os.ReadFile("testdata/v1.json")
	require.NoError(t, err)
	public, err := os.ReadFile("testdata/v1.pub")
	require.NoError(t, err)
	key, err := receipt.ParsePublicKey(public)
	require.NoError(t, err)

	got, err := receipt.Verify(text, key)
	require.NoError(t, err)
	require.Equal(t, 1, got.Version)
	require.Equal(t, "exe_vx3ryjy0gygf9qnxbsdf2wsf", got.Execution)
	require.Equal(t, "local", got.Tenant)
	require.Equal(t, string(sandbox.Exited), got.Sandbox.EndReason)
	require.EqualValues(t, 1784, got.Egress.BytesReceived)
	require.EqualValues(t, 107826, got.Egress.BytesSent)

	for at := range text {
		changed := bytes.Clone(text)
		changed[at] ^= 1
		_, err := receipt.VerifyIntegrity(changed)
		require.Error(t, err, "%s", changed)
	}
	asVersion2 := bytes.Replace(text, []byte(`"version":1`), []byte(`"version":2`), 1)
	_, err = receipt.Verify(asVersion2, key)
	require.ErrorIs(t, err, receipt.ErrInvalidSignature)
}

// testdata/v2.json is a receipt that Airlock wrote when the version was 2.
func TestVerifyVersion2(t *testing.T) {
	text, err := os.ReadFile("testdata/v2.json")
	require.NoError(t, err)
	public, err := os.ReadFile("testdata/v2.pub")
	require.NoError(t, err)
	key, err := receipt.ParsePublicKey(public)
	require.NoError(t, err)
	got, err := receipt.Verify(text, key)
	require.NoError(t, err)
	require.Equal(t, 2, got.Version)
	require.Equal(t, "ada", got.Tenant)
	require.Nil(t, got.Network)
	asVersion3 := bytes.Replace(text, []byte(`"version":2`), []byte(`"version":3`), 1)
	_, err = receipt.Verify(asVersion3, key)
	require.ErrorIs(t, err, receipt.ErrInvalidSignature)
}

// The receipt says which environment the job had, and with whom it exchanged data. The largest such list fits.
func TestNetworkInReceipt(t *testing.T) {
	f := testFacts()
	f.Execution.Task.Environment = environment.VersionRef{ID: "env_1", Version: 3}
	f.Ending.Network = &execution.NetworkUse{Refused: []string{"evil.example.org"}}
	k, _, public := newKey(t)
	key, err := receipt.ParsePublicKey(public)
	require.NoError(t, err)
	for i := range 20 {
		f.Ending.Network.Hosts = append(f.Ending.Network.Hosts, execution.HostUse{
			Host: fmt.Sprintf("%02d", i) + strings.Repeat("x", 251), Connections: 9, Sent: 1 << 50, Received: 1 << 50,
		})
	}
	got, err := receipt.Verify(mustMarshal(t, f, k), key)
	require.NoError(t, err)
	require.Equal(t, &receipt.Environment{ID: "env_1", Version: 3}, got.Environment)
	require.Equal(t, 1, got.Network.Refused)
	require.Len(t, got.Network.Hosts, 20)
	require.Equal(t, f.Ending.Network.Hosts[19].Host, got.Network.Hosts[19].Host)
	require.NotNil(t, got.Sandbox.Settings)
}

func TestParseKeyErrors(t *testing.T) {
	_, private, public := newKey(t)
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	der, err := x509.MarshalPKCS8PrivateKey(other)
	require.NoError(t, err)
	rsaPrivate := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	der, err = x509.MarshalPKIXPublicKey(other.Public())
	require.NoError(t, err)
	rsaPublic := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})

	for name, text := range map[string][]byte{"empty": nil, "not PEM": []byte("hello"), "a public key": public, "RSA": rsaPrivate} {
		_, err := receipt.ParseKey(text)
		require.ErrorIs(t, err, receipt.ErrInvalidKey, name)
	}
	for name, text := range map[string][]byte{"empty": nil, "not PEM": []byte("hello"), "a private key": private, "RSA": rsaPublic} {
		_, err := receipt.ParsePublicKey(text)
		require.ErrorIs(t, err, receipt.ErrInvalidKey, name)
	}
}
