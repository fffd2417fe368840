package forward

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/netguard"
	"github.com/airlock-run/airlock/internal/test/nameserver"
)

// hosts allows some "host:port".
type hosts []string

func (h hosts) Allows(host string, port int) bool {
	return slices.Contains(h, net.JoinHostPort(host, strconv.Itoa(port)))
}

func (h hosts) Ports() (ports []int) {
	for _, one := range h {
		_, text, _ := net.SplitHostPort(one)
		port, _ := strconv.Atoi(text)
		ports = append(ports, port)
	}
	return ports
}

// resolver asks a name server of the test.
func resolver(t *testing.T, others map[string]string) *net.Resolver {
	t.Helper()
	return NewResolver(nameserver.Start(t, others))
}

var loopback = netguard.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}

// openDoor returns a door for these hosts, and the URL of its proxy.
func openDoor(t *testing.T, c Config, allowed ...string) (*Door, *url.URL) {
	t.Helper()
	if c.Resolver == nil {
		c.Resolver = resolver(t, nil)
	}
	d := New(c).Open("exe_x", hosts(allowed))
	server := httptest.NewServer(d)
	t.Cleanup(server.Close)
	t.Cleanup(d.Close)
	u, err := url.Parse(server.URL)
	require.NoError(t, err)
	return d, u
}

// startTLS starts a server with a certificate for *.test, and returns its port and a client behind the proxy.
func startTLS(t *testing.T, h http.Handler) (port string, roots *x509.CertPool) {
	t.Helper()
	server := httptest.NewUnstartedServer(h)
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, "*.test")}}
	server.StartTLS()
	t.Cleanup(server.Close)
	roots = x509.NewCertPool()
	roots.AddCert(server.Certificate())
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	return port, roots
}

func behind(proxy *url.URL, roots *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
}

func get(t *testing.T, c *http.Client, url string) (status int, body string, err error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	res, err := c.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	return res.StatusCode, string(read), err
}

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello from "+r.Host) })

func TestTunnelToAllowedHost(t *testing.T) {
	port, roots := startTLS(t, hello)
	d, proxy := openDoor(t, Config{Guard: loopback}, "a.test:"+port)
	client := behind(proxy, roots)
	status, body, err := get(t, client, "https://a.test:"+port)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	require.Equal(t, "hello from a.test:"+port, body)
	_, _, err = get(t, client, "https://b.test:"+port)
	require.ErrorContains(t, err, "Forbidden")
	d.Close()
	used := d.Usage()
	require.Len(t, used.Hosts, 1)
	require.Equal(t, "a.test", used.Hosts[0].Host)
	require.Equal(t, 1, used.Hosts[0].Connections)
	require.Greater(t, used.Hosts[0].Sent, int64(100))
	require.Greater(t, used.Hosts[0].Received, int64(100))
	require.Equal(t, []string{"b.test:" + port}, used.Refused)
}

func TestPlainRequestToAllowedHost(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, name := range []string{"Proxy-Authorization", "X-Forwarded-For", "Via", "Forwarded"} {
			require.Empty(t, r.Header.Values(name), name)
		}
		hello(w, r)
	}))
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	d, proxy := openDoor(t, Config{Guard: loopback}, "a.test:"+port)
	defer func() { require.Len(t, d.Usage().Hosts, 1, "all spellings are one host") }()
	proxy.User = url.UserPassword("x", "y")
	status, body, err := get(t, behind(proxy, nil), "http://a.test:"+port+"/x?y=%2f")
	require.NoError(t, err)
	require.Equal(t, 200, status, body)
	require.Equal(t, "hello from a.test:"+port, body)
	status, _, err = get(t, behind(proxy, nil), "http://A.Test.:"+port)
	require.NoError(t, err)
	require.Equal(t, 200, status)
	status, body, err = get(t, behind(proxy, nil), "http://b.test:"+port)
	require.NoError(t, err)
	require.Equal(t, 403, status)
	require.Contains(t, body, "b.test:"+port+" is not among the allowed hosts")
}

// dialRaw opens a connection to the proxy, and reads the answer to a CONNECT.
func dialRaw(t *testing.T, proxy *url.URL, to string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", proxy.Host)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	require.NoError(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", to, to)
	require.NoError(t, err)
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: http.MethodConnect})
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return conn, res
}

func TestRefusedTargets(t *testing.T) {
	resolve := resolver(t, map[string]string{"metadata.test": "169.254.169.254", "rebound.test": "10.0.0.1"})
	d, proxy := openDoor(t, Config{Guard: loopback, Resolver: resolve, Reserved: []string{"api.model.test"}},
		"metadata.test:80", "metadata.test:443", "rebound.test:443", "api.model.test:443", "127.0.0.1:443", "[::1]:443", "gone.example:443", "closed.test:1")
	for to, reason := range map[string]string{
		"other.test:443":        "not among the allowed hosts",
		"metadata.test:443":     "not public",
		"rebound.test:443":      "not public",
		"api.model.test:443":    "only as the model",
		"API.Model.Test.:443":   "only as the model",
		"127.0.0.1:443":         "an address is not reached",
		"[::1]:443":             "an address is not reached",
		"gone.example:443":      "does not exist",
		"closed.test:1":         "could not be reached",
		"metadata.test:99999":   "is not a host and a port",
		"metadata.test":         "is not a host and a port",
		"0x7f.1:443":            "not among the allowed hosts",
		"a.test:443@evil.test:": "is not a host and a port",
	} {
		_, res := dialRaw(t, proxy, to)
		require.GreaterOrEqual(t, res.StatusCode, 400, to)
		if res.Header.Get("X-Airlock-Reason") != "" || res.StatusCode != http.StatusBadRequest {
			require.Contains(t, res.Header.Get("X-Airlock-Reason"), reason, to)
		}
	}
	require.Empty(t, d.Usage().Hosts, "nothing was connected")
}

// A tunnel to port 443 carries only TLS that names the same host.
func TestHelloMustNameTheHost(t *testing.T) {
	for name, sends := range map[string]func(net.Conn) error{
		"another name": func(c net.Conn) error { return tls.Client(c, &tls.Config{ServerName: "evil.test"}).Handshake() },
		"no name":      func(c net.Conn) error { return tls.Client(c, &tls.Config{InsecureSkipVerify: true}).Handshake() },
		"no TLS": func(c net.Conn) error {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
			return err
		},
		"half a hello": func(c net.Conn) error { _, err := c.Write([]byte{tlsRecord, 3, 1, 0, 5, 1, 0, 0, 1, 0}); return err },
	} {
		t.Run(name, func(t *testing.T) {
			upstream, addr := acceptOne(t)
			d, proxy := openDoor(t, Config{Guard: loopback, Resolver: resolver(t, nil)}, "a.test:443")
			d.dialAddr = func(string) string { return addr }
			conn, res := dialRaw(t, proxy, "a.test:443")
			require.Equal(t, 200, res.StatusCode)
			_ = sends(conn)
			_, err := conn.Read(make([]byte, 1))
			require.Error(t, err, "the connection is closed")
			got, err := io.ReadAll(<-upstream)
			require.NoError(t, err)
			require.Empty(t, got, "nothing went to the host")
			require.Equal(t, []string{"a.test:443"}, d.Usage().Refused)
		})
	}
}

// At other ports a hello must name the host as well, also one that comes late.
func TestLateHelloMustNameTheHost(t *testing.T) {
	upstream, addr := acceptOne(t)
	_, port, _ := net.SplitHostPort(addr)
	_, proxy := openDoor(t, Config{Guard: loopback}, "a.test:"+port)
	conn, _ := dialRaw(t, proxy, "a.test:"+port)
	server := <-upstream
	_, err := io.WriteString(server, "x")
	require.NoError(t, err)
	_, err = io.ReadFull(conn, make([]byte, 1))
	require.NoError(t, err)
	require.Error(t, tls.Client(conn, &tls.Config{ServerName: "evil.test"}).Handshake())
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Empty(t, got)
}

// acceptOne listens, and returns the first connection.
func acceptOne(t *testing.T) (<-chan net.Conn, string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	conns := make(chan net.Conn, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			conns <- c
		}
	}()
	return conns, l.Addr().String()
}

// Port 80 carries requests for its own host only, however they come.
func TestPlainConnectionMustNameTheHost(t *testing.T) {
	server := httptest.NewServer(hello)
	t.Cleanup(server.Close)
	d, proxy := openDoor(t, Config{Guard: loopback, Resolver: resolver(t, nil)}, "a.test:80")
	d.dialAddr = func(string) string { return server.Listener.Addr().String() }
	conn, res := dialRaw(t, proxy, "a.test:80")
	require.Equal(t, 200, res.StatusCode)
	reader := bufio.NewReader(conn)
	for _, host := range []string{"a.test", "A.test:80"} {
		_, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host)
		require.NoError(t, err)
		res, err = http.ReadResponse(reader, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "hello from a.test", string(body))
	}
	_, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")
	require.NoError(t, err)
	res, err = http.ReadResponse(reader, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusMisdirectedRequest, res.StatusCode)
}

// A protocol in which the server begins works at a port that the rules name.
func TestServerMayBegin(t *testing.T) {
	upstream, addr := acceptOne(t)
	_, port, _ := net.SplitHostPort(addr)
	_, proxy := openDoor(t, Config{Guard: loopback}, "a.test:"+port)
	conn, res := dialRaw(t, proxy, "a.test:"+port)
	require.Equal(t, 200, res.StatusCode)
	server := <-upstream
	_, err := io.WriteString(server, "SSH-2.0-x\r\n")
	require.NoError(t, err)
	got := make([]byte, 11)
	_, err = io.ReadFull(conn, got)
	require.NoError(t, err)
	require.Equal(t, "SSH-2.0-x\r\n", string(got))
	_, err = io.WriteString(conn, "SSH-2.0-y\r\n")
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	all, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "SSH-2.0-y\r\n", string(all), "and the end of a half is passed on")
	require.NoError(t, server.Close())
}

func TestWebSocketOverPlainHTTP(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		require.Equal(t, "echo", r.Header.Get("Upgrade"))
		c, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		_, _ = io.WriteString(c, line)
	}))
	t.Cleanup(server.Close)
	d, proxy := openDoor(t, Config{Guard: loopback}, "a.test:80")
	d.dialAddr = func(string) string { return server.Listener.Addr().String() }
	conn, _ := dialRaw(t, proxy, "a.test:80")
	_, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	reader := bufio.NewReader(conn)
	res, err := http.ReadResponse(reader, nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
	_, err = fmt.Fprint(conn, "ping\n")
	require.NoError(t, err)
	line, err := reader.ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ping\n", line)
}

// An upgrade that the server does not make is a request like any other: its answer is complete.
func TestUpgradeThatIsNotMade(t *testing.T) {
	answer := strings.Repeat("x", 1<<20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }))
	t.Cleanup(server.Close)
	d, proxy := openDoor(t, Config{Guard: loopback}, "a.test:80")
	d.dialAddr = func(string) string { return server.Listener.Addr().String() }
	conn, _ := dialRaw(t, proxy, "a.test:80")
	reader := bufio.NewReader(conn)
	for range 2 { // the connection goes on
		_, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		require.NoError(t, err)
		res, err := http.ReadResponse(reader, nil)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Len(t, body, len(answer))
	}
}

func TestBytesOfJobAreBounded(t *testing.T) {
	port, roots := startTLS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }))
	d, proxy := openDoor(t, Config{Guard: loopback, MaxBytes: 100 << 10}, "a.test:"+port)
	_, body, err := get(t, behind(proxy, roots), "https://a.test:"+port)
	require.Error(t, err)
	require.Less(t, len(body), 1<<20)
	_, _, err = get(t, behind(proxy, roots), "https://a.test:"+port)
	require.Error(t, err, "and no further connection transfers anything")
	used := d.Usage().Hosts[0]
	require.Less(t, used.Sent+used.Received, int64(100<<10+3*tunnelBuffer))
}

func TestResolveTellsWhatIsAllowed(t *testing.T) {
	d, proxy := openDoor(t, Config{}, "a.test:8443")
	client := behind(proxy, nil)
	status, _, err := get(t, client, "http://"+ResolveHost+"/A.test")
	require.NoError(t, err)
	require.Equal(t, http.StatusNoContent, status)
	status, body, err := get(t, client, "http://"+ResolveHost+"/b.test")
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, status)
	require.Contains(t, body, "b.test:8443 is not among the allowed hosts")
	require.Equal(t, []string{"b.test"}, d.Usage().Refused)
}

// After Close nothing passes, and what was open is closed.
func TestCloseEndsTunnels(t *testing.T) {
	upstream, addr := acceptOne(t)
	_, port, _ := net.SplitHostPort(addr)
	d, proxy := openDoor(t, Config{Guard: loopback}, "a.test:"+port)
	conn, _ := dialRaw(t, proxy, "a.test:"+port)
	_, err := io.WriteString(conn, "x")
	require.NoError(t, err)
	server := <-upstream
	_, err = io.ReadFull(server, make([]byte, 1))
	require.NoError(t, err)
	d.Close()
	_, err = server.Read(make([]byte, 1))
	require.Error(t, err)
	_, err = conn.Read(make([]byte, 1))
	require.Error(t, err)
	_, _, err = get(t, behind(proxy, nil), "http://a.test:"+port)
	require.True(t, err != nil && !errors.Is(err, context.DeadlineExceeded), "%v", err)
}

// What the agent writes in place of a host is shown to people.
func TestRefusedNamesCanBeShown(t *testing.T) {
	d, _ := openDoor(t, Config{})
	for _, name := range []string{strings.Repeat("x", 1000), "a\x1b[31m", "b\u202e"} {
		d.usage.refused(name)
	}
	for range maxRefused + 10 {
		d.usage.refused(rand.Text())
	}
	_, again := d.usage.refused("b\u202e")
	require.False(t, again, "it is logged once")
	shown := d.Usage().Refused
	require.Len(t, shown, maxRefused)
	require.Contains(t, shown, "a?[31m")
	require.Contains(t, shown, "b?")
	require.Contains(t, shown, strings.Repeat("x", maxShown))
}
