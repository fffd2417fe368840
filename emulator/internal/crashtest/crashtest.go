// Package crashtest runs an emulator in a process of its own, for tests that kill it.
//
// It receives a folder and a function that opens the emulator, and returns the address and the ID of the process. The
// process runs the test binary, which TestMain turns into a server. The package never stops the server gracefully.
package crashtest

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/emulator"
)

// dirEnv tells the test binary to be a server on this folder.
const dirEnv = "EMULATOR_CRASHTEST_DIR"

// ServeInChild does not return in a process that Start has started: the process serves the emulator until it is
// killed. In any other process it does nothing. TestMain calls it first.
func ServeInChild[S emulator.Service](open func(dir string) (S, error)) {
	dir, ok := os.LookupEnv(dirEnv)
	if !ok {
		return
	}
	fmt.Fprintln(os.Stderr, serve(dir, open))
	os.Exit(1)
}

func serve[S emulator.Service](dir string, open func(dir string) (S, error)) error {
	service, err := open(dir)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // the process is killed
	if err != nil {
		return err
	}
	fmt.Println(l.Addr())
	return emulator.NewServer(service).Serve(l)
}

// Process is a running server.
type Process struct {
	Address string
	PID     int
	kill    func()
}

// Start starts a server on the folder. It returns when the server listens. The end of the test kills it.
func Start(t testing.TB, dir string) *Process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), dirEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	address, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	p := &Process{Address: strings.TrimSpace(address), PID: cmd.Process.Pid}
	p.kill = sync.OnceFunc(func() {
		assert.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // reports that the process was killed
	})
	t.Cleanup(p.Kill)
	return p
}

// Kill sends SIGKILL and returns when the process has ended. It may be called again, from any goroutine.
func (p *Process) Kill() { p.kill() }
