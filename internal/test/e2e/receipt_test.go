package e2e

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// withReceiptKey creates a signing key for the executor, and returns the file of its public key.
func withReceiptKey(t *testing.T) (public string, change func(*dev.Config)) {
	t.Helper()
	dir := t.TempDir()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	file := func(name, kind string, der []byte, err error) string {
		require.NoError(t, err)
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return path
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	private := file("key.pem", "PRIVATE KEY", der, err)
	der, err = x509.MarshalPKIXPublicKey(key.Public())
	public = file("public.pem", "PUBLIC KEY", der, err)
	return public, func(d *dev.Config) { d.Executor.ReceiptKeyFile = private }
}

// A finished execution has a receipt that states how its job was isolated. The
// operator's public key verifies it.
func TestReceipt(t *testing.T) {
	t.Parallel()
	public, signed := withReceiptKey(t)
	a := start(t, signed)
	agent := a.createAgent(offlineAgent)
	e := a.awaitExecution(a.runAgent(agent.Id, "one two three").ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)

	var r receipt.Receipt
	require.NoError(t, json.Unmarshal(e.Receipt, &r))
	require.Equal(t, e.Id, r.Execution)
	require.Equal(t, "succeeded", string(r.Status))
	require.Equal(t, string(sandbox.Exited), r.Sandbox.EndReason)
	require.Zero(t, *r.Sandbox.ExitCode)
	s := r.Sandbox.Settings
	require.Equal(t, "none", s.Network)
	require.Equal(t, []string{"ALL"}, s.CapDrop)
	require.True(t, s.NoNewPrivs)
	require.True(t, s.ReadOnlyRoot)
	require.Contains(t, s.ImageID, "sha256:")
	require.Equal(t, sandbox.DefaultLimits.Memory, r.Sandbox.Limits.Memory)
	require.Positive(t, r.Sandbox.PeakMemory)
	require.Zero(t, r.Egress)
	require.False(t, r.Timeline.Claimed.Before(r.Timeline.Queued))
	require.LessOrEqual(t, *r.Timeline.Dispatched, *r.Timeline.FirstOutput)
	require.LessOrEqual(t, *r.Timeline.FirstOutput, *r.Timeline.Result)

	shown, code := a.runCLI(t, nil, "receipt", "show", "--server", a.URL, e.Id)
	require.Zero(t, code, shown)
	complete := a.do(http.MethodGet, "/executions/"+e.Id, "", nil).body
	forged := bytes.Replace([]byte(shown), []byte(`"succeeded"`), []byte(`"failed"`), 1)
	otherKey, _ := withReceiptKey(t)
	version1, err := os.ReadFile("../../receipt/testdata/v1.json")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		input  []byte
		args   []string
		code   int
		output string
	}{
		"unchanged":              {[]byte(shown), []string{"--key", public, "-"}, 0, "verified: " + e.Id},
		"in the whole execution": {complete, []string{"--key", public, "-"}, 0, "verified: " + e.Id},
		"without a key":          {[]byte(shown), []string{"-"}, 2, "--integrity-only"},
		"the bytes alone":        {[]byte(shown), []string{"--integrity-only", "-"}, 0, "The signer was not checked"},
		"changed bytes":          {forged, []string{"--integrity-only", "-"}, 1, "the signature does not match"},
		"changed":                {forged, []string{"--key", public, "-"}, 1, "the signature does not match"},
		"with another key":       {[]byte(shown), []string{"--key", otherKey, "-"}, 1, "another key"},
		"of version 1":           {version1, []string{"--key", "../../receipt/testdata/v1.pub", "-"}, 0, "verified: exe_vx3ryjy0gygf9qnxbsdf2wsf"},
		"no receipt":             {[]byte("{}"), []string{"--key", public, "-"}, 1, "not a receipt"},
		"a missing file":         {nil, []string{"--key", public, "no/such/file"}, 1, "no such file"},
		"no argument":            {nil, nil, 2, "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			output, code := a.runCLI(t, tc.input, append([]string{"receipt", "verify"}, tc.args...)...)
			require.Equal(t, tc.code, code, output)
			require.Contains(t, output, tc.output)
		})
	}
}

// A canceled execution and one that timed out have receipts, too.
func TestReceiptsOfFailedExecutions(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, `{"offline":{"sleep":"60s"}}`)
	a.awaitContainers(1)
	a.cancel(accepted.Urls.Cancel)
	var r receipt.Receipt
	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusCanceled, e.Status)
	require.NoError(t, json.Unmarshal(e.Receipt, &r))
	require.Equal(t, "canceled", string(r.Code))
	require.Nil(t, r.Signature)

	timedOut := a.submitRun(agent.Id, contract.RunAgent{Input: `{"offline":{"sleep":"60s"}}`, Timeout: "1s"})
	e = a.awaitExecution(timedOut.ExecutionId)
	require.NoError(t, json.Unmarshal(e.Receipt, &r))
	require.Equal(t, string(sandbox.TimedOut), r.Sandbox.EndReason)
	require.EqualValues(t, time.Second.Milliseconds(), r.Sandbox.Limits.Timeout)
}
