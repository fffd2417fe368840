package e2e

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/domain/environment"
	"github.com/airlock-run/airlock/internal/test/nameserver"
)

// networkRuntime runs its input as a script, in an image with the usual programs.
var networkRuntime = `
runtimes:
  - name: upper
    image: ` + cmp.Or(os.Getenv("AIRLOCK_CLAUDE_IMAGE"), "airlock/sandbox-claude:dev") + `
    contract: command
    argv: [/bin/bash]
`

// testNetwork is a network of one server, at each name below example.com. It has a git repository, and answers all
// other requests with the name that it was asked for.
type testNetwork struct{ port, authority string }

func startTestNetwork(t *testing.T) (testNetwork, func(*dev.Config)) {
	t.Helper()
	repositories := t.TempDir()
	script := exec.CommandContext(t.Context(), "bash", "-c", `set -e
		git init -q --bare app.git; git clone -q app.git work; cd work; echo hello > file
		git add file; git -c user.name=A -c user.email=a@example.com commit -qm first; git push -q origin HEAD`)
	script.Dir = repositories
	out, err := script.CombinedOutput()
	require.NoError(t, err, "%s", out)
	git := &cgi.Handler{
		Path: "/usr/lib/git-core/git-http-backend", Env: []string{"GIT_PROJECT_ROOT=" + repositories, "GIT_HTTP_EXPORT_ALL=1"},
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/app.git/") {
			git.ServeHTTP(w, r)
			return
		}
		host, _, _ := net.SplitHostPort(r.Host)
		_, _ = io.WriteString(w, "hello from "+host+"\n")
	}))
	certificate := newCertificate(t, "*.example.com")
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	addresses := map[string]string{}
	for _, name := range []string{"a.example.com", "b.example.com", "inside.example.com"} {
		addresses[name] = "127.0.0.1"
	}
	addresses["inside.example.com"] = "10.1.2.3"
	names := nameserver.Start(t, addresses)
	n := testNetwork{port, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}))}
	return n, func(d *dev.Config) {
		ceiling, err := environment.ParseCeiling([]string{"*.example.com:" + port})
		require.NoError(t, err)
		d.API.EgressHosts, d.Executor.EgressHosts = ceiling, ceiling
		d.Executor.EgressPrivateNetworks = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		d.Executor.EgressNameServer = names
	}
}

// newCertificate returns a certificate that signs itself.
func newCertificate(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: names, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// An agent reaches the hosts of its environment, with and without a proxy setting, and no others.
func TestAgentReachesTheHostsOfItsEnvironment(t *testing.T) {
	t.Parallel()
	network, withNetwork := startTestNetwork(t)
	a := start(t, withRuntimes(t, networkRuntime), withNetwork)
	var env contract.Environment
	a.call(http.MethodPost, "/environments", http.StatusCreated, contract.CreateEnvironment{
		Name: "E", Variables: contract.Variables{"STAGE": "test"},
		Network: contract.Network{Mode: contract.NetworkLimited, Hosts: []string{"a.example.com:" + network.port, "inside.example.com:" + network.port}},
	}).decode(t, &env)
	agent := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "upper", EnvironmentId: env.Id})
	script := strings.ReplaceAll(`
		export CURL_CA_BUNDLE=$PWD/ca.pem NODE_EXTRA_CA_CERTS=$PWD/ca.pem GIT_SSL_CAINFO=$PWD/ca.pem SSL_CERT_FILE=$PWD/ca.pem
		url=https://a.example.com:PORT
		echo "stage $STAGE"
		for proxy in "with a proxy" "without a proxy"; do
			echo "curl $proxy: $(curl -sS $url/ 2>&1)"
			echo "python $proxy: $(python3 -c "import urllib.request as u; print(u.urlopen('$url/').read().decode())" 2>&1)"
			git clone -q $url/app.git "clone $proxy" 2>&1 && echo "git $proxy: $(cat "clone $proxy/file")"
			curl -sS https://b.example.com:PORT/ 2>&1 | sed "s/^/refused $proxy: /"
			curl -sS https://inside.example.com:PORT/ 2>&1 | sed "s/^/private $proxy: /"
			curl -sS --max-time 5 http://169.254.169.254/ 2>&1 | sed "s/^/metadata $proxy: /"
			curl -sS --max-time 5 --noproxy '*' https://127.0.0.1:PORT/ 2>&1 | sed "s/^/own machine $proxy: /"
			unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
		done
		echo "node: $(node -e "fetch('$url/').then(r => r.text()).then(console.log)" 2>&1)"
		cat /run/airlock/README
	`, "PORT", network.port)
	e := a.awaitExecution(a.submitRun(agent.Id, contract.RunAgent{
		Input: script, Files: contract.InputFiles{{Path: "ca.pem", Content: &network.authority}},
	}).ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	text := e.Result.Text
	t.Log(text)
	require.Contains(t, text, "stage test")
	for _, proxy := range []string{"with a proxy", "without a proxy"} {
		require.Contains(t, text, "curl "+proxy+": hello from a.example.com")
		require.Contains(t, text, "python "+proxy+": hello from a.example.com")
		require.Contains(t, text, "git "+proxy+": hello\n")
		require.Contains(t, text, "refused "+proxy+": curl: ")
		require.Contains(t, text, "private "+proxy+": curl: ")
		require.Contains(t, text, "metadata "+proxy+": ")
		require.Contains(t, text, "own machine "+proxy+": curl: (7)")
		require.NotContains(t, text, "hello from b")
	}
	require.Contains(t, text, "metadata with a proxy: Airlock: an address is not reached, only a name")
	require.Contains(t, text, "refused with a proxy: curl: (56) CONNECT tunnel failed, response 403")
	require.Contains(t, text, "refused without a proxy: curl: (6) Could not resolve host")
	require.Contains(t, text, "node: hello from a.example.com")
	require.Contains(t, text, "    a.example.com:"+network.port+"\n")
	require.Len(t, e.Network.Hosts, 1)
	require.Equal(t, "a.example.com", e.Network.Hosts[0].Host)
	require.GreaterOrEqual(t, e.Network.Hosts[0].Connections, 7)
	require.Subset(t, e.Network.Refused, []string{"b.example.com", "b.example.com:" + network.port, "inside.example.com:" + network.port})

	// A job without the environment has no network at all.
	alone := a.createAgent(contract.CreateAgent{Name: "A", Instructions: "B", Runtime: "upper"})
	e = a.awaitExecution(a.runAgent(alone.Id, "curl -sS https://a.example.com:"+network.port+"/ 2>&1; ls /run/airlock; exit 0").ExecutionId)
	require.Contains(t, e.Result.Text, "curl: (6) Could not resolve host")
	require.NotContains(t, e.Result.Text, filepath.Base("README"))
	require.Empty(t, e.Network.Hosts)
}
