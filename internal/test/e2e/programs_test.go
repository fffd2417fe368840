package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programDir is where buildPrograms writes. TestMain creates and removes it.
var programDir string

// buildPrograms builds the three programs once for all tests, as they are
// shipped, and returns their folder.
var buildPrograms = sync.OnceValues(func() (string, error) { return goBuild("shipped") })

// buildFailpointPrograms builds the same programs with failpoints.
var buildFailpointPrograms = sync.OnceValues(func() (string, error) { return goBuild("failpoints", "failpoints") })

func goBuild(folder string, tags ...string) (string, error) {
	dir := filepath.Join(programDir, folder)
	tags = append(tags, "disable_grpc_modules") // as in the Makefile
	out, err := exec.Command("go", "build", "-tags", strings.Join(tags, ","), "-o", dir+"/",
		"../../../cmd/airlock", "../../../cmd/api", "../../../cmd/executor").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w: %s", err, out)
	}
	return dir, nil
}

// program is how to start a program.
type program struct {
	dir  string // folder of its binary; empty: of the shipped programs
	name string
	env  []string // its whole environment, besides PATH and HOME
	args []string
}

// process is a running program.
type process struct {
	*exec.Cmd
	name  string
	lines chan string // of its output; closed when the program ends
	once  sync.Once   // of waiting for the end
}

// maxLoggedLines is how many lines of a process's output a failed test logs.
const maxLoggedLines = 200

// start starts a program, and kills it when the test ends.
func (pr program) start(t *testing.T) *process {
	t.Helper()
	if pr.dir == "" {
		var err error
		pr.dir, err = buildPrograms()
		require.NoError(t, err)
	}
	cmd := exec.Command(filepath.Join(pr.dir, pr.name), pr.args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, pr.env...)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	require.NoError(t, write.Close()) // the process has its own copy; reading ends with the process
	p := &process{Cmd: cmd, name: pr.name, lines: make(chan string, 1000)}
	var reading sync.WaitGroup
	var output []string
	reading.Go(func() {
		for scan := bufio.NewScanner(read); scan.Scan(); {
			output = append(output, scan.Text())
			select {
			case p.lines <- scan.Text():
			default: // the test reads no more lines
			}
		}
		close(p.lines)
	})
	t.Cleanup(func() {
		p.signalAndWait(t, syscall.SIGKILL)
		reading.Wait()
		_ = read.Close()
		if t.Failed() {
			t.Logf("output of %s:\n%s", pr.name, strings.Join(output[max(0, len(output)-maxLoggedLines):], "\n"))
		}
	})
	return p
}

// signalAndWait sends a signal to the process and waits until it has ended. It does nothing after the end.
func (p *process) signalAndWait(t *testing.T, s os.Signal) {
	t.Helper()
	p.once.Do(func() {
		require.NoError(t, p.Process.Signal(s))
		_ = p.Wait() // the error is the exit status, which tests read from ProcessState
	})
}

// awaitKilled waits until the process has killed itself at a failpoint.
func (p *process) awaitKilled(t *testing.T) {
	t.Helper()
	timer := time.AfterFunc(waitLimit, func() { _ = p.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()
	p.once.Do(func() { _ = p.Wait() })
	status, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && status.Signal() == syscall.SIGKILL, "%s ended with %s", p.name, p.ProcessState)
}

// awaitLine reads the output up to a line that matches the pattern, and returns its first group.
func (p *process) awaitLine(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(waitLimit)
	var seen []string
	for {
		select {
		case line, ok := <-p.lines:
			seen = append(seen, line)
			if m := re.FindStringSubmatch(line); m != nil {
				return m[1]
			}
			require.True(t, ok, "%s ended without a line %q:\n%s", p.name, pattern, strings.Join(seen, "\n"))
		case <-timeout:
			t.Fatalf("%s printed no line %q:\n%s", p.name, pattern, strings.Join(seen, "\n"))
		}
	}
}
