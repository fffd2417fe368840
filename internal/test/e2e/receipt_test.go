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
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// withReceiptKey gives the executor a key, and returns the file of its public half.
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

// cli runs the command line with input, and returns what it prints and its exit code.
func runCLI(t *testing.T, input []byte, args ...string) (output string, code int) {
	t.Helper()
	dir, err := buildPrograms()
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "airlock"), args...)
	cmd.Stdin = bytes.NewReader(input)
	out, err := cmd.CombinedOutput()
	if err != nil {
		exited := new(exec.ExitError)
		require.ErrorAs(t, err, &exited)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// A finished execution shows how it was kept apart, and the operator's public
// key shows that this is what was written down.
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

	shown, code := runCLI(t, nil, "receipt", "show", "--server", a.URL, e.Id)
	require.Zero(t, code, shown)
	complete := a.do(http.MethodGet, "/executions/"+e.Id, "", nil).body
	forged := bytes.Replace([]byte(shown), []byte(`"succeeded"`), []byte(`"failed"`), 1)
	otherKey, _ := withReceiptKey(t)
	version1, err := os.ReadFile("../../receipt/testdata/v1.json")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		input []byte
		args  []string
		code  int
		says  string
	}{
		"as it is shown":           {[]byte(shown), []string{"--key", public, "-"}, 0, "verified: " + e.Id},
		"in the whole execution":   {complete, []string{"--key", public, "-"}, 0, "verified: " + e.Id},
		"without a key":            {[]byte(shown), []string{"-"}, 0, "not who signed it"},
		"changed":                  {forged, []string{"--key", public, "-"}, 1, "the signature does not match"},
		"with somebody else's":     {[]byte(shown), []string{"--key", otherKey, "-"}, 1, "another key"},
		"of version 1":             {version1, []string{"--key", "../../receipt/testdata/v1.pub", "-"}, 0, "verified: exe_vx3ryjy0gygf9qnxbsdf2wsf"},
		"no receipt":               {[]byte("{}"), []string{"-"}, 1, "not a receipt"},
		"a file that is not there": {nil, []string{"no/such/file"}, 1, "no such file"},
		"no argument":              {nil, nil, 2, "usage"},
	} {
		t.Run(name, func(t *testing.T) {
			said, code := runCLI(t, tc.input, append([]string{"receipt", "verify"}, tc.args...)...)
			require.Equal(t, tc.code, code, said)
			require.Contains(t, said, tc.says)
		})
	}
}

// What was stopped has a receipt too, and what never ran has none.
func TestReceiptsOfFailedExecutions(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, `{"offline":{"sleep":"60s"}}`)
	a.eventually("the agent runs", func() bool {
		return len(a.containers()) > 0 && a.getExecution(accepted.ExecutionId).Status == contract.StatusRunning
	})
	a.call(http.MethodPost, accepted.Urls.Cancel, http.StatusAccepted, nil, nil)
	var r receipt.Receipt
	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusCanceled, e.Status)
	require.NoError(t, json.Unmarshal(e.Receipt, &r))
	require.Equal(t, "canceled", string(r.Code))
	require.Nil(t, r.Signature)

	var timedOut contract.AcceptedExecution
	a.call(http.MethodPost, "/agents/"+agent.Id+"/run", http.StatusAccepted,
		contract.RunAgent{Input: `{"offline":{"sleep":"60s"}}`, Timeout: "1s"}, &timedOut)
	e = a.awaitExecution(timedOut.ExecutionId)
	require.NoError(t, json.Unmarshal(e.Receipt, &r))
	require.Equal(t, string(sandbox.TimedOut), r.Sandbox.EndReason)
	require.EqualValues(t, time.Second.Milliseconds(), r.Sandbox.Limits.Timeout)
}
