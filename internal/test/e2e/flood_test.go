package e2e

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/receipt"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// shellRuntime runs its input as a shell script, with a way to a model.
const shellRuntime = `
runtimes:
  - name: upper
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/bash, -c, 'cat >/tmp/script && exec /bin/bash /tmp/script']
    models: [claude-sonnet-4-5]
    egress:
      upstream: {url: %q, keyEnv: AIRLOCK_TEST_MODEL_KEY, allowPrivate: true}
      routes: [POST /v1/messages, local HEAD /]
`

// A job that sends requests as fast as it can gets as many as its rate allows, and 100 lines in the log.
func TestFloodingJob(t *testing.T) {
	t.Setenv("AIRLOCK_TEST_MODEL_KEY", "k")
	model := modelstub.Start(modelstub.Always(modelstub.Text("hi")))
	t.Cleanup(model.Close)
	core, logs := observer.New(zap.InfoLevel)
	a := startWithLog(t, zap.New(core), withRuntimes(t, fmt.Sprintf(shellRuntime, model.URL())))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B"})
	began := time.Now()
	e := a.awaitExecution(a.runAgent(agent.Id, `
		exec 3<>/dev/tcp/127.0.0.1/8787
		(while printf 'HEAD / HTTP/1.1\r\nHost: x\r\n\r\n%.0s' {1..100} >&3; do :; done) 2>/dev/null &
		for i in {1..300}; do while read -r line <&3 && [[ $line != $'\r' ]]; do :; done; done
		kill $!; echo done`).ExecutionId)
	took := time.Since(began)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	require.GreaterOrEqual(t, took, (300-10)*time.Second/40, "the rate is 40 requests a second after the first 10")
	a.stop()
	require.Equal(t, 100, logs.FilterMessage("egress").Len())
	summary := logs.FilterMessage("egress: further lines were left out").All()
	require.Len(t, summary, 1)
	requests := summary[0].ContextMap()["requests"].(int64)
	require.GreaterOrEqual(t, requests, int64(300))
	require.LessOrEqual(t, float64(requests), 10+40*took.Seconds())
}

// An agent that ends its calls before the model has responded pays for what the model goes on to write.
func TestJobThatCutsItsCalls(t *testing.T) {
	t.Setenv("AIRLOCK_TEST_MODEL_KEY", "k")
	const maxTokens, calls = 64_000, 5
	model := modelstub.Start(modelstub.Always(modelstub.Generate(
		modelstub.Generation{Events: 1, PerEvent: maxTokens, End: modelstub.Hangs})))
	t.Cleanup(model.Close)
	a := start(t, withRuntimes(t, fmt.Sprintf(shellRuntime, model.URL())))
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Budget: contract.Budget{MaxTokens: 2 * maxTokens}})
	e := a.awaitExecution(a.runAgent(agent.Id, fmt.Sprintf(`
		body='{"model":"claude-sonnet-4-5","max_tokens":%d,"messages":[{"role":"user","content":"hello"}]}'
		for i in {1..%d}; do
			exec 3<>/dev/tcp/127.0.0.1/8787
			printf 'POST /v1/messages HTTP/1.1\r\nHost: x\r\nContent-Length: %%d\r\n\r\n%%s' ${#body} "$body" >&3
			read -t 1 line <&3 # the gateway denies the calls after the budget is used up, and so responds
			exec 3>&-
		done`, maxTokens, calls)).ExecutionId)
	require.Equal(t, contract.FailureCodeBudgetExceeded, e.Error.Code, e.Error.Message)
	input, output := model.Billed()
	require.Equal(t, output, e.Usage.OutputTokens)
	require.Equal(t, input, e.Usage.InputTokens)
	require.Less(t, input+output, int64(3*maxTokens), "the budget is exceeded by less than one call")
	require.Equal(t, e.Usage.Calls, e.Usage.EstimatedCalls)

	var r receipt.Receipt
	require.NoError(t, json.Unmarshal(e.Receipt, &r))
	require.Equal(t, e.Usage.EstimatedCalls, r.Egress.EstimatedCalls)
	require.Equal(t, e.Usage.OutputTokens, r.Egress.OutputTokens)
}
