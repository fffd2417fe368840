package guest

import (
	"bytes"
	"crypto/rand"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// gatewaySocket listens where the bridge leads to.
func gatewaySocket(t *testing.T) (net.Listener, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	return listener, path
}

func dialBridge(t *testing.T, socket string) net.Conn {
	t.Helper()
	b, err := openBridge(t.Context(), "127.0.0.1:0", socket)
	require.NoError(t, err)
	t.Cleanup(b.Close)
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestBridgeKeepsHalfClosedConnections(t *testing.T) {
	gateway, socket := gatewaySocket(t)
	inside := dialBridge(t, socket)
	outside, err := gateway.Accept()
	require.NoError(t, err)
	defer outside.Close()

	// The agent has said all; the gateway answers only after it saw that.
	question, answer := make([]byte, 3<<20), make([]byte, 3<<20)
	_, _ = rand.Read(question)
	_, _ = rand.Read(answer)
	go func() {
		_, _ = inside.Write(question)
		_ = inside.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(outside)
	require.NoError(t, err)
	require.True(t, bytes.Equal(question, got))
	go func() {
		_, _ = outside.Write(answer)
		_ = outside.Close()
	}()
	got, err = io.ReadAll(inside)
	require.NoError(t, err)
	require.True(t, bytes.Equal(answer, got))
}

func TestBridgeTellsTheGatewayThatTheAgentLeft(t *testing.T) {
	gateway, socket := gatewaySocket(t)
	inside := dialBridge(t, socket)
	outside, err := gateway.Accept()
	require.NoError(t, err)
	defer outside.Close()

	require.NoError(t, inside.(*net.TCPConn).SetLinger(0)) // a reset, as of a killed process
	require.NoError(t, inside.Close())
	_, err = outside.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestBridgeWithoutGateway(t *testing.T) {
	inside := dialBridge(t, "/nonexistent/socket")
	_, err := inside.Read(make([]byte, 1))
	require.Error(t, err, "closed, not left hanging")
}
