package app

import (
	"encoding/pem"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

func writeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

const oneRuntime = "runtimes:\n- name: mine\n  image: i\n  contract: command\n  argv: [x]\n"

// prepare asks the executor's registry for a job.
func prepareJob(t *testing.T, c Executor, task execution.Task) (image string, failure *execution.Failure) {
	t.Helper()
	registry, closeGateway, err := c.newRegistry(zap.NewNop())
	require.NoError(t, err)
	defer closeGateway()
	run, failure := registry.Prepare(t.Context(), &execution.Execution{ID: "exe_1", Task: task})
	if failure != nil {
		return "", failure
	}
	if run.Job.Egress != nil {
		require.NoError(t, run.Job.Egress.Close())
	}
	return run.Job.Image, nil
}

func TestBuiltinRuntimesUseConfiguredImages(t *testing.T) {
	c := Executor{
		OfflineImage: "o", ClaudeImage: "c", ClaudeModels: []string{"claude-haiku-4-5"},
		AnthropicAPIKey: "k", AnthropicBaseURL: &url.URL{Scheme: "https", Host: "api.anthropic.com"},
	}
	image, _ := prepareJob(t, c, execution.Task{Runtime: "offline"})
	require.Equal(t, "o", image)
	image, _ = prepareJob(t, c, execution.Task{Runtime: "claude", Model: "claude-haiku-4-5"})
	require.Equal(t, "c", image)
	_, failure := prepareJob(t, c, execution.Task{Runtime: "claude", Model: "claude-sonnet-4-6"})
	require.Equal(t, execution.CodeModelNotAllowed, failure.Code)

	c.AnthropicAPIKey = ""
	_, failure = prepareJob(t, c, execution.Task{Runtime: "claude"})
	require.Equal(t, execution.CodeUnknownRuntime, failure.Code)
	require.Contains(t, failure.Message, "ANTHROPIC_API_KEY")
}

func TestRuntimesFileReplacesBuiltins(t *testing.T) {
	c := Executor{RuntimesFile: writeFile(t, oneRuntime), OfflineImage: "o"}
	image, _ := prepareJob(t, c, execution.Task{Runtime: "mine"})
	require.Equal(t, "i", image)
	_, failure := prepareJob(t, c, execution.Task{Runtime: "offline"})
	require.Equal(t, execution.CodeUnknownRuntime, failure.Code)
}

// A program says what is wrong with its files before it starts, all at once.
func TestInvalidFilesAreReportedAtStart(t *testing.T) {
	bad := writeFile(t, "runtimes:\n- name: A B\n  contract: x\n")
	t.Setenv("GOOGLE_CLOUD_PROJECT", "p")
	t.Setenv("AIRLOCK_RUNTIMES_FILE", bad)
	t.Setenv("AIRLOCK_MAX_TOKENS", "-1")
	t.Setenv("AIRLOCK_RECEIPT_KEY_FILE", bad)
	t.Setenv("AIRLOCK_ANTHROPIC_CA_FILE", bad)
	_, err := LoadExecutor()
	for _, says := range []string{"AIRLOCK_RUNTIMES_FILE", bad, "line 2: name", "line 3: contract", "AIRLOCK_MAX_TOKENS", "AIRLOCK_RECEIPT_KEY_FILE", "AIRLOCK_ANTHROPIC_CA_FILE"} {
		require.ErrorContains(t, err, says)
	}
	_, err = LoadAPI()
	require.ErrorContains(t, err, "line 2: name")

	t.Setenv("AIRLOCK_RUNTIMES_FILE", writeFile(t, oneRuntime))
	t.Setenv("AIRLOCK_RECEIPT_KEY_FILE", "")
	t.Setenv("AIRLOCK_ANTHROPIC_CA_FILE", "")
	t.Setenv("AIRLOCK_BLOB_URL", "gs://b")
	t.Setenv("AIRLOCK_MAX_TOKENS", "1000")
	t.Setenv("AIRLOCK_MAX_COST_USD", "0.25")
	api, err := LoadAPI()
	require.NoError(t, err)
	require.Equal(t, "mine", api.DefaultRuntime)
	x, err := LoadExecutor()
	require.NoError(t, err)
	require.Equal(t, int64(1000), x.MaxTokens)
	require.InDelta(t, 0.25, x.MaxCostUSD, 1e-9)

	t.Setenv("AIRLOCK_DEFAULT_RUNTIME", "claude")
	_, err = LoadAPI()
	require.ErrorContains(t, err, "AIRLOCK_DEFAULT_RUNTIME must be one of [mine]")
}

const twoRuntimes = `
runtimes:
- name: codex
  image: codex
  contract: command
  argv: [codex, "--model={model}"]
  models: [gpt-1]
  egress:
    api: responses
    upstream: {url: "https://api.openai.com", keyEnv: MY_OPENAI_KEY}
    routes: [POST /v1/responses]
- name: claude
  image: c
  contract: stream-json
  maxTurns: 5
  argv: [claude]
  models: [claude-haiku-4-5]
  egress: {routes: [POST /v1/messages]}
`

// A runtime is there as soon as the key of its upstream is.
func TestUpstreamUsesItsOwnKey(t *testing.T) {
	c := Executor{RuntimesFile: writeFile(t, twoRuntimes)}
	_, failure := prepareJob(t, c, execution.Task{Runtime: "codex"})
	require.Contains(t, failure.Message, "MY_OPENAI_KEY")
	_, failure = prepareJob(t, c, execution.Task{Runtime: "claude"})
	require.Contains(t, failure.Message, "ANTHROPIC_API_KEY")

	t.Setenv("MY_OPENAI_KEY", "sk")
	image, _ := prepareJob(t, c, execution.Task{Runtime: "codex"})
	require.Equal(t, "codex", image)
	_, failure = prepareJob(t, c, execution.Task{Runtime: "claude"})
	require.NotNil(t, failure, "the other's key is not its own")
}

func TestLoadCertPool(t *testing.T) {
	model := modelstub.StartTLS(modelstub.Always(modelstub.Text("hi")))
	defer model.Close()
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: model.Certificate().Raw}))

	pool, err := loadCertPool("")
	require.NoError(t, err)
	require.Nil(t, pool, "the system's")
	pool, err = loadCertPool(writeFile(t, certificate))
	require.NoError(t, err)
	require.NotNil(t, pool)
	_, err = loadCertPool(writeFile(t, "no certificate"))
	require.ErrorContains(t, err, "holds no certificate")
	_, err = loadCertPool("no/such/file")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLoadReceiptKey(t *testing.T) {
	key, err := Executor{}.loadReceiptKey()
	require.NoError(t, err)
	require.Nil(t, key, "receipts are not signed")
	_, err = Executor{ReceiptKeyFile: "no/such/file"}.loadReceiptKey()
	require.ErrorContains(t, err, "AIRLOCK_RECEIPT_KEY_FILE")
	_, err = Executor{ReceiptKeyFile: writeFile(t, "hello")}.loadReceiptKey()
	require.ErrorContains(t, err, "not an ed25519 key")
}
