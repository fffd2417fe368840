package e2e

import (
	"bufio"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// programs builds the three programs once for all tests.
var buildPrograms = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("go", "build", "-o", programDir+"/", "../../../cmd/airlock", "../../../cmd/api", "../../../cmd/executor").CombinedOutput()
	if err != nil {
		return "", &buildError{string(out)}
	}
	return programDir, nil
})

// crashing are the same programs with the crash points compiled in.
var buildFailpointPrograms = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(programDir, "crashing")
	out, err := exec.Command("go", "build", "-tags", "failpoints,disable_grpc_modules", "-o", dir+"/", "../../../cmd/airlock", "../../../cmd/api", "../../../cmd/executor").CombinedOutput()
	if err != nil {
		return "", &buildError{string(out)}
	}
	return dir, nil
})

type buildError struct{ output string }

func (e *buildError) Error() string { return "go build: " + e.output }

// process is one program that runs.
type process struct {
	*exec.Cmd
	name  string
	lines chan string // of its output, until it ends
	once  sync.Once
}

// spawn starts a program with nothing in its environment but what is given.
func startProgram(t *testing.T, name string, env []string, args ...string) *process {
	t.Helper()
	dir, err := buildPrograms()
	require.NoError(t, err)
	return startProgramFrom(t, dir, name, env, args...)
}

// spawnFrom starts a program that was built into dir.
func startProgramFrom(t *testing.T, dir, name string, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, name), args...)
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	read, write, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout, cmd.Stderr = write, write
	require.NoError(t, cmd.Start())
	require.NoError(t, write.Close()) // the process has its own; reading ends with it
	p := &process{Cmd: cmd, name: name, lines: make(chan string, 1000)}
	var reading sync.WaitGroup
	var output []string // for whoever looks into a failure
	reading.Go(func() {
		for scan := bufio.NewScanner(read); scan.Scan(); {
			output = append(output, scan.Text())
			select {
			case p.lines <- scan.Text():
			default: // nobody reads; what counts is in the first lines
			}
		}
		close(p.lines)
	})
	t.Cleanup(func() {
		p.signalAndWait(t, syscall.SIGKILL)
		reading.Wait()
		_ = read.Close()
		if t.Failed() {
			t.Logf("what %s said:\n%s", name, strings.Join(output[max(0, len(output)-maxLoggedLines):], "\n"))
		}
	})
	return p
}

// shownLines is how much of the output of a process a failed test shows.
const maxLoggedLines = 200

// end sends a signal and waits for the end of the process.
func (p *process) signalAndWait(t *testing.T, s os.Signal) {
	t.Helper()
	p.once.Do(func() {
		require.NoError(t, p.Process.Signal(s))
		_ = p.Wait() // says how it ended, which the signal decided
	})
}

// dies waits for the end of a process that brings it about itself.
func (p *process) awaitKilled(t *testing.T) {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { _ = p.Process.Signal(syscall.SIGTERM) })
	defer timer.Stop()
	p.once.Do(func() { _ = p.Wait() })
	ended, ok := p.ProcessState.Sys().(syscall.WaitStatus)
	require.True(t, ok && ended.Signal() == syscall.SIGKILL, "%s ended with %s", p.name, p.ProcessState)
}

// await reads the output up to a line with the pattern, and returns its first group.
func (p *process) awaitLine(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	timeout := time.After(30 * time.Second)
	var seen []string
	for {
		select {
		case line, ok := <-p.lines:
			seen = append(seen, line)
			if m := re.FindStringSubmatch(line); m != nil {
				return m[1]
			}
			require.True(t, ok, "%s ended without %q:\n%s", p.name, pattern, strings.Join(seen, "\n"))
		case <-timeout:
			t.Fatalf("%s does not say %q:\n%s", p.name, pattern, strings.Join(seen, "\n"))
		}
	}
}

// cluster runs emulators and API as processes of their own, as in the cloud;
// apiEnv is for the API alone.
func startCluster(t *testing.T, apiEnv ...string) (a *airlock, env []string) {
	t.Helper()
	emulators := startProgram(t, "airlock", nil, "emulators", "--memory", "--pubsub", "127.0.0.1:0", "--firestore", "127.0.0.1:0")
	firestore := emulators.awaitLine(t, `FIRESTORE_EMULATOR_HOST=(\S+)`)
	pubsub := emulators.awaitLine(t, `PUBSUB_EMULATOR_HOST=(\S+)`)
	sockets, err := os.MkdirTemp("/tmp", "airlock-")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(sockets)) })
	env = []string{"FIRESTORE_EMULATOR_HOST=" + firestore, "PUBSUB_EMULATOR_HOST=" + pubsub, "AIRLOCK_SANDBOX_SOCKET_DIR=" + sockets, "AIRLOCK_WARM_POOL_SIZE=0"}

	api := startProgram(t, "api", slices.Concat(env, apiEnv, []string{"AIRLOCK_LISTEN_ADDR=127.0.0.1:0"}))
	address := api.awaitLine(t, `"API is listening".*"address":"([^"]+)"`)
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)
	t.Cleanup(func() { _ = docker.Close() })
	a = &airlock{t: t, URL: "http://" + address, docker: docker, apiProcess: api}
	a.eventually("ready", func() bool { return a.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
	return a, env
}

func startExecutor(t *testing.T, env []string) (p *process, name string) {
	t.Helper()
	name = id.New("test-")
	p = startProgram(t, "executor", append(env, "AIRLOCK_EXECUTOR_NAME="+name))
	p.awaitLine(t, `(pulling executions)`)
	return p, name
}

// The separate programs do together what `airlock dev` does. An executor that
// is killed loses nothing: another runs its job again within 30 s, and removes
// the container that it left.
func TestKilledExecutor(t *testing.T) {
	t.Parallel()
	a, env := startCluster(t)
	first, name := startExecutor(t, env)
	a.executorName = name
	agent := a.createAgent(offlineAgent)
	accepted := a.runAgent(agent.Id, `{"offline":{"sleep":"8s"}}`)
	a.eventually("runs in a container", func() bool { return len(a.containers()) == 1 })
	first.signalAndWait(t, syscall.SIGKILL)
	killed := time.Now()
	require.Len(t, a.containers(), 1, "the container of the killed executor is still there")

	second, _ := startExecutor(t, env)
	a.awaitNoContainers() // the reaper's
	a.eventually("runs again", func() bool { return a.getExecution(accepted.ExecutionId).Attempt == 2 })
	require.Less(t, time.Since(killed), 30*time.Second)
	t.Logf("ran again %s after the kill", time.Since(killed).Round(time.Millisecond))
	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status)
	second.signalAndWait(t, syscall.SIGTERM)
	require.Zero(t, second.ProcessState.ExitCode())
}

// The command line against a running server.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	a := start(t)
	a.createAgent(contract.CreateAgent{Name: "Counter", Instructions: "Count the words"})
	for name, tc := range map[string]struct {
		stdin string
		args  []string
		code  int
		says  string
	}{
		"a message":           {"", []string{"run", "--wait", "안녕하세요"}, 0, "안녕하세요"},
		"an agent":            {"", []string{"run", "--wait", "--agent", "Counter", "one two three"}, 0, "3"},
		"standard input":      {"one two three four", []string{"run", "--wait", "--agent", "Counter", "-"}, 0, "4"},
		"without waiting":     {"", []string{"run", "hello"}, 0, "exe_"},
		"a failed execution":  {"", []string{"run", "--wait", "--agent", "Counter", `{"offline":{"exit":3}}`}, 1, "agent_error"},
		"an unknown agent":    {"", []string{"run", "--agent", "Nobody", "x"}, 1, "Nobody"},
		"an unknown flag":     {"", []string{"run", "--nothing"}, 2, "--help"},
		"no prompt":           {"", []string{"run"}, 2, "--help"},
		"an unknown command":  {"", []string{"fly"}, 2, "fly"},
		"nobody at the other": {"", []string{"run", "--server", "http://127.0.0.1:1", "x"}, 3, "cannot reach"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, err := buildPrograms()
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(dir, "airlock"), tc.args...)
			cmd.Env = []string{"AIRLOCK_URL=" + a.URL}
			cmd.Stdin = strings.NewReader(tc.stdin)
			out, _ := cmd.CombinedOutput() // its exit code is looked at below
			require.Equal(t, tc.code, cmd.ProcessState.ExitCode(), "%s", out)
			require.Contains(t, string(out), tc.says)
		})
	}
}
