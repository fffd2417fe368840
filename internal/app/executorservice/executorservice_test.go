package executorservice

import (
	"encoding/pem"
	"net/url"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/app/config/configtest"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

const oneRuntime = "runtimes:\n- name: mine\n  image: i\n  contract: command\n  argv: [x]\n"

// prepareJob asks the executor's registry for a job.
func prepareJob(t *testing.T, c config.Executor, task execution.Task) (image string, failure *execution.Failure) {
	t.Helper()
	runtimes, err := catalog.Load(c.RuntimesFile)
	require.NoError(t, err)
	s, _ := Prepare(c, runtimes) // what is not set in c does not matter here
	registry, closeGateways, err := newRegistry(s, zap.NewNop())
	require.NoError(t, err)
	defer closeGateways()
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
	c := config.Executor{
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
	require.Equal(t, execution.CodeNoExecutor, failure.Code)
	require.Contains(t, failure.Message, "ANTHROPIC_API_KEY")
}

func TestRuntimesFileReplacesBuiltins(t *testing.T) {
	c := config.Executor{OfflineImage: "o"}
	c.RuntimesFile = configtest.WriteFile(t, oneRuntime)
	image, _ := prepareJob(t, c, execution.Task{Runtime: "mine"})
	require.Equal(t, "i", image)
	_, failure := prepareJob(t, c, execution.Task{Runtime: "offline"})
	require.Equal(t, execution.CodeNoExecutor, failure.Code)
}

// Load reports everything that is wrong with the variables and the files, before anything starts.
func TestInvalidFilesAreReportedAtStart(t *testing.T) {
	bad := configtest.WriteFile(t, "runtimes:\n- name: A B\n  contract: x\n")
	configtest.SetOnly(t, map[string]string{
		"GOOGLE_CLOUD_PROJECT": "p", "AIRLOCK_RUNTIMES_FILE": bad, "AIRLOCK_MAX_TOKENS": "-1", "AIRLOCK_SHUTDOWN_GRACE": "soon",
		"AIRLOCK_RECEIPT_KEY_FILE": bad, "AIRLOCK_ANTHROPIC_CA_FILE": bad, "AIRLOCK_EXECUTOR_SLOT": "3",
	})
	_, err := Load()
	for _, says := range []string{
		"AIRLOCK_RUNTIMES_FILE", bad, "line 2: name", "line 3: contract", "AIRLOCK_MAX_TOKENS", "AIRLOCK_SHUTDOWN_GRACE", "AIRLOCK_BLOB_URL",
		"AIRLOCK_RECEIPT_KEY_FILE", "AIRLOCK_ANTHROPIC_CA_FILE", "did you mean AIRLOCK_EXECUTOR_SLOTS?",
	} {
		require.ErrorContains(t, err, says)
	}
	configtest.SetOnly(t, configtest.WithEmulators(map[string]string{"AIRLOCK_RUNTIMES_FILE": configtest.WriteFile(t, oneRuntime), "AIRLOCK_BILLING": "x"}))
	s, err := Load()
	require.NoError(t, err)
	require.Equal(t, []string{"mine"}, s.runtimes.Names())
	require.Equal(t, []string{"AIRLOCK_BILLING"}, s.UnknownVariables)
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

// A runtime is available if the key of its upstream is set.
func TestUpstreamUsesItsOwnKey(t *testing.T) {
	var c config.Executor
	c.RuntimesFile = configtest.WriteFile(t, twoRuntimes)
	_, failure := prepareJob(t, c, execution.Task{Runtime: "codex"})
	require.Contains(t, failure.Message, "MY_OPENAI_KEY")
	_, failure = prepareJob(t, c, execution.Task{Runtime: "claude"})
	require.Contains(t, failure.Message, "ANTHROPIC_API_KEY")

	t.Setenv("MY_OPENAI_KEY_FILE", "/nowhere")
	runtimes, err := catalog.Load(c.RuntimesFile)
	require.NoError(t, err)
	_, err = Prepare(c, runtimes)
	require.ErrorContains(t, err, "MY_OPENAI_KEY_FILE: stat /nowhere")

	t.Setenv("MY_OPENAI_KEY_FILE", configtest.WriteFile(t, "sk\n"))
	s, _ := Prepare(c, runtimes)
	require.Equal(t, map[string]string{"MY_OPENAI_KEY": "sk"}, s.upstreamKeys)
	fromFile, _ := prepareJob(t, c, execution.Task{Runtime: "codex"})
	require.Equal(t, "codex", fromFile)

	t.Setenv("MY_OPENAI_KEY_FILE", "")
	t.Setenv("MY_OPENAI_KEY", "sk")
	image, _ := prepareJob(t, c, execution.Task{Runtime: "codex"})
	require.Equal(t, "codex", image)
	_, failure = prepareJob(t, c, execution.Task{Runtime: "claude"})
	require.NotNil(t, failure, "the other upstream's key is not used")
}

func TestLoadCertPool(t *testing.T) {
	model := modelstub.StartTLS(modelstub.Always(modelstub.Text("hi")))
	defer model.Close()
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: model.Certificate().Raw}))

	pool, err := loadCertPool("")
	require.NoError(t, err)
	require.Nil(t, pool, "the system's")
	pool, err = loadCertPool(configtest.WriteFile(t, certificate))
	require.NoError(t, err)
	require.NotNil(t, pool)
	_, err = loadCertPool(configtest.WriteFile(t, "no certificate"))
	require.ErrorContains(t, err, "holds no certificate")
	_, err = loadCertPool("no/such/file")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestLoadReceiptKey(t *testing.T) {
	key, err := loadReceiptKey("")
	require.NoError(t, err)
	require.Nil(t, key, "receipts are not signed")
	_, err = loadReceiptKey("no/such/file")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = loadReceiptKey(configtest.WriteFile(t, "hello"))
	require.ErrorContains(t, err, "not a valid ed25519 key in PEM")
	_, err = loadReceiptKey("/dev/zero")
	require.ErrorContains(t, err, "not a regular file")
}
