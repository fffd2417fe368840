package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/config"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/nameserver"
)

func TestBlobStorageCheck(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "yet")
	require.NoError(t, checkBlobStorage(t.Context(), config.FileURL(dir)).Err)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
	require.NoError(t, checkBlobStorage(t.Context(), "").Err)
	require.Error(t, checkBlobStorage(t.Context(), "file:///proc/blobs").Err)
	require.Error(t, checkBlobStorage(t.Context(), "nonsense").Err)
}

// The advice fits the cause: only a fault of the image is one of its sandbox-init.
func TestAdviceForSandboxThatDoesNotStart(t *testing.T) {
	t.Parallel()
	for cause, advice := range map[sandbox.StartFailure]string{
		sandbox.EngineUnreachable: "start the container engine",
		sandbox.EngineRefused:     "free space",
		sandbox.StartTimedOut:     "is slow",
		sandbox.NoFreeUID:         "AIRLOCK_SANDBOX_UIDS",
		sandbox.ImageMissing:      "/sandbox-init",
		sandbox.ImageUnusable:     "/sandbox-init",
	} {
		got := sandboxAdvice("image:dev", fmt.Errorf("run: %w", &sandbox.StartError{Cause: cause, Err: errors.New("no space left on device")}))
		require.Contains(t, got, advice, cause)
		if !cause.OfImage() {
			require.NotContains(t, got, "sandbox-init", cause)
		}
	}
	require.Contains(t, sandboxAdvice("image:dev", errors.New("image contains a different sandbox-init")), "/sandbox-init in the image")
}

func TestUnavailableRuntimesAreListed(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := w.Write([]byte(`{"status":"ready","since":"2026-01-02T03:04:05Z",` +
			`"unavailableRuntimes":{"python":"image_unusable: no such program","codex":"image_missing: codex:dev"}}`))
		require.NoError(t, err)
	}))
	defer server.Close()
	finding := checkExecutor(t.Context(), server.Listener.Addr().String())
	require.EqualError(t, finding.Err,
		"cannot start runtimes: codex: image_missing: codex:dev; python: image_unusable: no such program")
}

func TestUIDRangeFitsContainers(t *testing.T) {
	t.Parallel()
	c := config.Executor{Slots: 4, WarmPoolSize: 1, SandboxUIDs: sandbox.DefaultUIDs}
	require.NoError(t, checkUIDs(c, 2).Err)
	c.SandboxUIDs = sandbox.UIDRange{First: 1000, Last: 1014} // 4 jobs, 4 removals, 6 idle, 1 probe
	require.NoError(t, checkUIDs(c, 2).Err)
	c.SandboxUIDs.Last--
	require.ErrorContains(t, checkUIDs(c, 2).Err, "fewer than the 15")
}

func TestMisspeltVariableFailsTheCheck(t *testing.T) {
	t.Parallel()
	require.NoError(t, checkVariables([]string{"AIRLOCK_EXECUTOR_SLOTS=2", "AIRLOCK_BILLING=x"}, catalog.Catalog{}).Err)
	require.ErrorContains(t, checkVariables([]string{"AIRLOCK_EXECUTOR_SLOT=2"}, catalog.Catalog{}).Err, "AIRLOCK_EXECUTOR_SLOTS")
}

func TestEgressCheck(t *testing.T) {
	t.Parallel()
	require.Equal(t, "environments reach no hosts", checkEgress(t.Context(), config.Executor{}).Detail)
	hosts, err := environment.ParseCeiling([]string{"pypi.org", "*.example.org"})
	require.NoError(t, err)
	c := config.Executor{EgressPrivateNetworks: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, EgressNameServer: nameserver.Start(t, nil)}
	c.EgressHosts = hosts
	finding := checkEgress(t.Context(), c)
	require.NoError(t, finding.Err)
	require.Equal(t, "environments may reach 2 patterns of hosts, at public addresses, and in 10.1.0.0/16; name server "+c.EgressNameServer, finding.Detail)

	silent, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	c.EgressNameServer = silent.LocalAddr().String()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // as after egressTimeout
	require.Error(t, checkEgress(ctx, c).Err)
}
