package docker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/supervise"
)

// noEgress is the egress of a job that has none. Nothing listens on its socket.
type noEgress struct{}

func (noEgress) Serve(net.Listener) error { return nil }
func (noEgress) Busy() bool               { return false }
func (noEgress) Waited() time.Duration    { return 0 }
func (noEgress) MaxWait() time.Duration   { return 0 }
func (noEgress) Close() error             { return nil }

// writeNotice tells the agent which hosts it can reach.
func (c *sandboxContainer) writeNotice(n *sandbox.Network) error {
	if n == nil {
		return nil
	}
	if err := os.WriteFile(filepath.Join(c.socketDir, filepath.Base(sandbox.NoticePath)), []byte(n.Notice), 0o644); err != nil {
		return fmt.Errorf("write the notice of the network: %w", err)
	}
	return nil
}

// serveEgress starts the job's egress on the container's socket.
func (c *sandboxContainer) serveEgress(ctx context.Context, egress sandbox.Egress) error {
	if egress == (noEgress{}) {
		return nil
	}
	listener, err := listenEgress(ctx, c.socketDir, c.uid)
	if err != nil {
		return err
	}
	c.egressDone = make(chan error, 1)
	go func() { c.egressDone <- serveAndClose(egress, listener) }()
	return nil
}

// serveAndClose serves until the egress is closed. A panic of one job's egress ends only that egress.
func serveAndClose(egress sandbox.Egress, listener net.Listener) error {
	err := func() (err error) {
		defer supervise.RecoverTo(&err)
		return egress.Serve(listener)
	}()
	// Serve owns the listener. The second Close is for a Serve that failed early.
	if closeErr := listener.Close(); !errors.Is(closeErr, net.ErrClosed) {
		err = errors.Join(err, closeErr)
	}
	return err
}

// maxSocketPath is the longest path of a unix socket on Linux: the size of sun_path without the final zero.
const maxSocketPath = 107

var socketName = filepath.Base(sandbox.EgressSocket)

// checkSocketPath returns an error if the containers' sockets below dir would have paths that are too long.
func checkSocketPath(dir string) error {
	token := strings.Repeat("x", 2*tokenBytes)
	if n := len(filepath.Join(dir, token, socketName)); n > maxSocketPath {
		return fmt.Errorf("socket folder %s: its path is %d bytes too long", dir, n-maxSocketPath)
	}
	return nil
}

// listenEgress opens the egress socket in a container's directory. Only the sandbox's user may connect to it.
func listenEgress(ctx context.Context, dir string, uid int) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("egress socket: %w", err)
	}
	mode := os.FileMode(0o600)
	err = os.Chown(path, uid, uid)
	if errors.Is(err, fs.ErrPermission) {
		// This process is not root, so every user may connect to the socket. The parent directories keep other users of
		// this host out, and only one container has the directory mounted.
		mode, err = 0o666, nil
	}
	if err == nil {
		err = os.Chmod(path, mode)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("egress socket: %w", err), listener.Close())
	}
	return listener, nil
}
