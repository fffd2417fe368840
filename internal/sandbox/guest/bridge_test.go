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

// listenGateway listens on the socket to which the bridge forwards.
func listenGateway(t *testing.T) (net.Listener, string) {
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
	b.serve()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", b.listener.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestBridgePassesHalfClose(t *testing.T) {
	gateway, socket := listenGateway(t)
	agentConn := dialBridge(t, socket)
	gatewayConn, err := gateway.Accept()
	require.NoError(t, err)
	defer gatewayConn.Close()

	// The agent closes its side after the request. The gateway answers only then.
	request, response := make([]byte, 3<<20), make([]byte, 3<<20)
	_, _ = rand.Read(request)
	_, _ = rand.Read(response)
	go func() {
		_, _ = agentConn.Write(request)
		_ = agentConn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(gatewayConn)
	require.NoError(t, err)
	require.True(t, bytes.Equal(request, got))
	go func() {
		_, _ = gatewayConn.Write(response)
		_ = gatewayConn.Close()
	}()
	got, err = io.ReadAll(agentConn)
	require.NoError(t, err)
	require.True(t, bytes.Equal(response, got))
}

func TestBridgePassesAgentReset(t *testing.T) {
	gateway, socket := listenGateway(t)
	agentConn := dialBridge(t, socket)
	gatewayConn, err := gateway.Accept()
	require.NoError(t, err)
	defer gatewayConn.Close()

	require.NoError(t, agentConn.(*net.TCPConn).SetLinger(0)) // close sends a reset, as for a killed process
	require.NoError(t, agentConn.Close())
	_, err = gatewayConn.Read(make([]byte, 1))
	require.Error(t, err)
}

func TestBridgeWithoutGatewayClosesConnection(t *testing.T) {
	agentConn := dialBridge(t, "/nonexistent/socket")
	_, err := agentConn.Read(make([]byte, 1))
	require.Error(t, err, "the connection is closed")
}
