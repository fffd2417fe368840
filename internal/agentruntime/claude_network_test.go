package agentruntime_test

import (
	"cmp"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/test/modelstub"
	"github.com/airlock-run/airlock/internal/test/nameserver"
)

// Claude Code with a network still calls its model through the model's own door, and its tools reach the allowed hosts.
func TestClaudeWithNetwork(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello from "+r.Host)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	const command = `curl -sS http://files.example.com:PORT/one; echo
node -e "fetch('http://files.example.com:PORT/two').then(r => r.text()).then(t => console.log('node says', t))"
curl -sS http://other.example.com:PORT/
curl -sS --noproxy '*' http://127.0.0.1:8787/v1/messages -d '{}'`
	h := newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
		if len(r.Messages) > 1 {
			return modelstub.Text(r.Prompt())
		}
		return modelstub.ToolUse("Bash", map[string]string{
			"command": strings.ReplaceAll(command, "PORT", port), "description": "use the network",
		})
	})
	g, err := gateway.New(gateway.Config{Upstream: h.upstream.URL(), APIKey: operatorKey})
	require.NoError(t, err)
	t.Cleanup(g.Close)
	r := claudeRuntime(cmp.Or(os.Getenv("AIRLOCK_CLAUDE_IMAGE"), claudeImage), g)
	r.Forward = forward.New(forward.Config{
		Guard:    netguard.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Resolver: forward.NewResolver(nameserver.Start(t, map[string]string{"files.example.com": "127.0.0.1", "other.example.com": "127.0.0.1"})),
	})
	h.registry = agentruntime.NewRegistry(r)
	for _, h.cold = range []bool{false, true} {
		run, result := h.mustRun(execution.Task{
			Input: "use the network", Environment: environment.VersionRef{ID: "env_1", Version: 1},
			Network: environment.Network{Mode: environment.Limited, Hosts: []string{"files.example.com:" + port}},
		})
		require.Contains(t, result.Text, "hello from files.example.com:"+port)
		require.Contains(t, result.Text, "node says hello from files.example.com:"+port)
		require.Contains(t, result.Text, "Airlock: other.example.com:"+port+" is not among the allowed hosts of this environment")
		require.Contains(t, result.Text, "invalid_request_error", "the model's door is where it was")
		require.EqualValues(t, 2, run.Usage().Calls)
		used := run.Network()
		require.Len(t, used.Hosts, 1, "the model is not among them")
		require.Equal(t, "files.example.com", used.Hosts[0].Host)
		require.Equal(t, []string{"other.example.com:" + port}, used.Refused)
	}
}
