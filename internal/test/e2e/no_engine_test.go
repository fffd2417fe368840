package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/test/faultproxy"
)

// Without an Engine, Airlock accepts executions and starts no attempt. They run
// when an Engine is there.
func TestEngineStartsLater(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "docker.sock")
	var engine *faultproxy.Proxy
	t.Cleanup(func() { // after the executor, which needs the Engine until it has stopped
		if engine != nil {
			require.NoError(t, engine.Close())
		}
	})
	a := start(t, func(d *dev.Config) { d.Executor.DockerHost = "unix://" + socket })
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, "one two three four")
	var e contract.Execution
	a.get(accepted.Urls.Self+"?wait=1s", &e)
	require.Equal(t, contract.StatusQueued, e.Status)
	require.Zero(t, e.Attempt, "an attempt started without an Engine")

	var err error
	engine, err = faultproxy.Listen("unix", socket, engineSocket)
	require.NoError(t, err)
	e = a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
	require.Equal(t, 1, e.Attempt)
}
