package docker

import (
	"context"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/gateway/forward"
	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/nameserver"
)

// testRules allow the names of allowed at one port.
type testRules struct {
	allowed []string
	port    int
}

func (r testRules) Allows(host string, port int) bool {
	return port == r.port && slices.Contains(r.allowed, host)
}
func (r testRules) Ports() []int { return []int{r.port} }

// networkJob returns a job of the probe that may reach example.com of a test network, and the port of that host. Its
// certificate is on the standard input of the job.
func networkJob(t *testing.T, args ...string) (sandbox.Job, *forward.Door) {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello from "+r.Host)
	}))
	t.Cleanup(server.Close)
	_, text, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	port, err := strconv.Atoi(text)
	require.NoError(t, err)
	proxy := forward.New(forward.Config{
		Guard:    netguard.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
		Resolver: forward.NewResolver(nameserver.Start(t, map[string]string{"example.com": "127.0.0.1"})),
	})
	door := proxy.Open("exe_test", testRules{[]string{"example.com"}, port})
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "PORT", text)
	}
	job := probe(args...)
	job.Stdin = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	job.Network = &sandbox.Network{Ports: []int{port}, Notice: "You can reach example.com."}
	job.Egress = forward.NewEgress(door)
	return job, door
}

// A program that knows nothing of a proxy reaches the allowed hosts, and no others.
func TestNetworkWithoutProxySettings(t *testing.T) {
	d := newDriver(t, Config{})
	job, door := networkJob(t, "fetch", "https://example.com:PORT/", "https://EXAMPLE.com:PORT/again", "https://example.org:PORT/", "https://127.0.0.1:PORT/")
	out := run(t, d, job)
	require.Zero(t, out.ExitCode, "%s", out.Stderr)
	lines := strings.Split(strings.TrimSpace(string(out.Stdout)), "\n")
	require.Len(t, lines, 4)
	port := strconv.Itoa(job.Network.Ports[0])
	require.Equal(t, "200 hello from example.com:"+port+" <nil>", lines[0])
	require.Equal(t, "200 hello from EXAMPLE.com:"+port+" <nil>", lines[1])
	require.Contains(t, lines[2], "no such host")
	require.Contains(t, lines[3], "connection refused", "the machine's own server is not reached")
	used := door.Usage()
	require.Len(t, used.Hosts, 1)
	require.Equal(t, "example.com", used.Hosts[0].Host)
	require.Equal(t, []string{"example.org"}, used.Refused)
}

// A program that uses the proxy reaches the same hosts, and reads why it does not reach others.
func TestNetworkWithProxySettings(t *testing.T) {
	d := newDriver(t, Config{})
	job, door := networkJob(t, "fetch", "https://example.com:PORT/", "http://example.org:PORT/", "https://example.org:PORT/")
	job.Env = []string{"HTTP_PROXY=" + sandbox.EgressURL, "HTTPS_PROXY=" + sandbox.EgressURL}
	out := run(t, d, job)
	lines := strings.Split(strings.TrimSpace(string(out.Stdout)), "\n")
	port := strconv.Itoa(job.Network.Ports[0])
	require.Equal(t, "200 hello from example.com:"+port+" <nil>", lines[0])
	require.True(t, strings.HasPrefix(lines[1], "403 Airlock: example.org:"+port+" is not among the allowed hosts"), lines[1])
	require.Contains(t, string(out.Stdout), "Forbidden")
	require.Equal(t, []string{"example.org:" + port}, door.Usage().Refused)
}

func TestNoticeOfNetwork(t *testing.T) {
	d := newDriver(t, Config{})
	job, _ := networkJob(t, "read", sandbox.NoticePath)
	require.Equal(t, "You can reach example.com.", string(run(t, d, job).Stdout))
}

// A job without a network does not find the doors of one that has.
func TestNoNetworkByDefault(t *testing.T) {
	d := newDriver(t, Config{})
	job, door := networkJob(t, "fetch", "https://example.com:PORT/")
	job.Network = nil
	out := run(t, d, job)
	require.Contains(t, string(out.Stdout), "error:")
	require.Contains(t, string(out.Stdout), "127.0.0.1:53: ")
	require.Empty(t, door.Usage().Hosts)
}

// An agent that waits for its job has the network of its job, and an agent without one is not used for it.
func TestNetworkOfAgentThatWaits(t *testing.T) {
	d := newDriver(t, Config{})
	job, _ := networkJob(t, "fetch", "https://example.com:PORT/")
	job.Ahead = &sandbox.Ahead{Egress: true}
	without := job
	without.Network = nil
	release, err := d.StartAhead(context.Background(), without)
	require.NoError(t, err)
	defer release()
	out := run(t, d, job)
	require.False(t, out.Record.Ahead)
	require.Contains(t, string(out.Stdout), "200 hello")

	job, _ = networkJob(t, "fetch", "https://example.com:PORT/")
	job.Ahead = &sandbox.Ahead{Egress: true}
	release, err = d.StartAhead(context.Background(), job)
	require.NoError(t, err)
	defer release()
	out = run(t, d, job)
	require.True(t, out.Record.Ahead)
	require.Contains(t, string(out.Stdout), "200 hello")
}
