package guest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"
)

// startNames serves names whose gateway allows a.example.com and connects it to an echo. It returns a resolver and the
// port of the hosts.
func startNames(t *testing.T) (*names, *net.Resolver, int) {
	t.Helper()
	l, socket := listenGateway(t)
	gateway := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodConnect && strings.HasPrefix(r.Host, "a.example.com:"):
			conn, buffered, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
			line, _ := buffered.ReadString('\n')
			_, _ = io.WriteString(conn, r.Host+" "+line)
		case r.URL.String() == "http://"+resolveHost+"/a.example.com", r.URL.String() == "http://"+resolveHost+"/closed.example.com":
			w.WriteHeader(http.StatusNoContent)
		default:
			w.WriteHeader(http.StatusForbidden)
		}
	})}
	go func() { _ = gateway.Serve(l) }()
	t.Cleanup(func() { _ = gateway.Close() })
	free, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	n, err := openNames(t.Context(), "127.0.0.1:0", socket, []int{port})
	require.NoError(t, err)
	t.Cleanup(n.Close)
	n.serve()
	return n, &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.packet.LocalAddr().String())
	}}, port
}

func TestNamesReachTheGateway(t *testing.T) {
	_, resolver, port := startNames(t)
	dialer := net.Dialer{Resolver: resolver, Timeout: 20 * time.Second}
	for _, name := range []string{"a.example.com", "A.Example.COM", "a.example.com."} {
		conn, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("%s:%d", name, port))
		require.NoError(t, err)
		_, err = io.WriteString(conn, "hello\n")
		require.NoError(t, err)
		line, err := bufio.NewReader(conn).ReadString('\n')
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("a.example.com:%d hello\n", port), line)
		require.NoError(t, conn.Close())
	}
	for _, name := range []string{"b.example.com", "localdomain", "a.example.com/x.y", "resolve.airlock.invalid"} {
		_, err := resolver.LookupHost(t.Context(), name)
		var missing *net.DNSError
		require.ErrorAs(t, err, &missing, name)
		require.True(t, missing.IsNotFound, name)
	}

	// The gateway may refuse a connection to an allowed name.
	conn, err := dialer.DialContext(t.Context(), "tcp", fmt.Sprintf("closed.example.com:%d", port))
	if err == nil { // the reset may come after the connection
		_, err = conn.Read(make([]byte, 1))
	}
	require.ErrorContains(t, err, "reset")
}

// What is no question is not answered, and harms nobody.
func TestNameServerSurvivesRubbish(t *testing.T) {
	n, resolver, _ := startNames(t)
	conn, err := new(net.Dialer).DialContext(t.Context(), "udp", n.packet.LocalAddr().String())
	require.NoError(t, err)
	defer conn.Close()
	response, err := (&dnsmessage.Message{Header: dnsmessage.Header{Response: true}}).Pack()
	require.NoError(t, err)
	for _, rubbish := range [][]byte{{}, {0}, []byte(strings.Repeat("x", 5000)), response} {
		_, err := conn.Write(rubbish)
		require.NoError(t, err)
	}
	for range 10 * maxQuestions { // more than are answered
		q := dnsmessage.Message{Questions: []dnsmessage.Question{{
			Name: dnsmessage.MustNewName("x.example.com."), Type: dnsmessage.TypeAAAA, Class: dnsmessage.ClassINET,
		}}}
		packed, err := q.Pack()
		require.NoError(t, err)
		_, err = conn.Write(packed)
		require.NoError(t, err)
	}
	addresses, err := resolver.LookupHost(t.Context(), "a.example.com")
	require.NoError(t, err)
	require.Equal(t, []string{firstNameAddr.String()}, addresses)
}

// Names have an end: each one costs sockets.
func TestNamesAreBounded(t *testing.T) {
	n, _, _ := startNames(t)
	for i := range maxNames {
		_, err := n.add(fmt.Sprintf("n%d.example.com", i))
		require.NoError(t, err)
	}
	_, err := n.add("one-more.example.com")
	require.Error(t, err)
	_, err = n.add("n0.example.com")
	require.NoError(t, err)
}
