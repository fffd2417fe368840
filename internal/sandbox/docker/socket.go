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

	"github.com/airlock-run/airlock/internal/sandbox"
)

// maxSocketPath is what sockaddr_un takes on Linux, without the final zero.
const maxSocketPath = 107

var socketName = filepath.Base(sandbox.EgressSocket)

// fits says whether the sockets of containers below dir have paths that the
// kernel takes.
func checkSocketPath(dir string) error {
	filler := strings.Repeat("x", 2*tokenBytes)
	if n := len(filepath.Join(dir, filler, filler, socketName)); n > maxSocketPath {
		return fmt.Errorf("socket folder %s: its path is %d bytes too long", dir, n-maxSocketPath)
	}
	return nil
}

// makeFolder makes the folder that one container sees as the egress socket's.
func makeSocketDir(path string) error {
	if err := os.Mkdir(path, 0o755); err != nil {
		return fmt.Errorf("socket folder: %w", err)
	}
	return nil
}

// listen opens the egress socket in a container's folder, for the sandbox's
// user alone.
func listenEgress(ctx context.Context, dir string) (net.Listener, error) {
	path := filepath.Join(dir, socketName)
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("egress socket: %w", err)
	}
	mode := os.FileMode(0o600)
	err = os.Chown(path, uid, uid)
	if errors.Is(err, fs.ErrPermission) {
		// Not root: the folders above keep everybody else of this host out,
		// and the folder is mounted into one container only.
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
