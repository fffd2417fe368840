// Package e2e drives the whole product as its users do: over HTTP, with the
// emulators on real ports, a real Docker Engine and real containers. It has
// tests only.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/docker/docker/client"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/api/contract/contracttest"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/domain/id"
)

// TestMain says what is missing before a hundred tests fail for want of it.
func TestMain(m *testing.M) {
	if err := prerequisites(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	os.Exit(run(m))
}

// programDir is where programs builds.
var programDir string

func run(m *testing.M) int {
	var err error
	if programDir, err = os.MkdirTemp("", "airlock-programs-"); err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		return 1
	}
	defer os.RemoveAll(programDir)
	return m.Run()
}

func prerequisites() error {
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	if err != nil {
		return err
	}
	defer docker.Close()
	for _, image := range []string{"airlock/sandbox-offline:dev", "airlock/sandbox-claude:dev"} {
		if _, err := docker.ImageInspect(context.Background(), image); err != nil {
			return fmt.Errorf("%w; `make engine images` sets up what the tests need", err)
		}
	}
	return nil
}

// airlock is one running `airlock dev`, as the tests see it.
type airlock struct {
	t            *testing.T
	URL          string
	started      dev.Started
	docker       *client.Client
	executorName string // of the executor
	tenant       string
	apiKey       string // of a key; empty: none is shown
	stop         func()
	apiProcess   *process // where the API is a process of its own
}

// start runs everything in this process, through the same wiring as the
// programs, and stops it when the test ends. Each test has an Airlock, and a
// folder of sockets, of its own.
func start(t *testing.T, change ...func(*dev.Config)) *airlock {
	t.Helper()
	config, err := dev.Load()
	require.NoError(t, err)
	config.API.ListenAddr, config.Emulators.PubSub, config.Emulators.Firestore = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	config.API.ShutdownGracePeriod, config.Executor.ShutdownGracePeriod = 2*time.Second, 2*time.Second
	config.Executor.Name = id.New("test-")
	config.Executor.Slots = 4
	config.Executor.WarmPoolSize = 0                                  // so that every container is of a job, and can be counted
	config.Executor.SocketDir, err = os.MkdirTemp("/tmp", "airlock-") // t.TempDir's path is too long for a socket
	require.NoError(t, err)
	for _, c := range change {
		c(&config)
	}
	docker, err := client.NewClientWithOpts(client.FromEnv, client.WithAPIVersionNegotiation())
	require.NoError(t, err)

	a := &airlock{t: t, docker: docker, executorName: config.Executor.Name}
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan dev.Started, 1), make(chan error, 1)
	go func() {
		ended <- dev.Run(ctx, config, logger(t), func(s dev.Started) { listening <- s })
	}()
	var stopped bool
	a.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		require.NoError(t, <-ended)
		require.Empty(t, a.containers(), "a container outlived its executor")
		entries, err := os.ReadDir(config.Executor.SocketDir)
		require.NoError(t, err)
		require.Empty(t, entries, "a socket outlived its executor")
		require.NoError(t, os.RemoveAll(config.Executor.SocketDir))
		require.NoError(t, docker.Close())
	}
	t.Cleanup(a.stop)
	select {
	case s := <-listening:
		a.URL, a.started = "http://"+s.API, s
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
		t.Fatal("Airlock ended before it listened")
	}
	a.eventually("ready", func() bool { return a.do(http.MethodGet, "/readyz", "", nil).StatusCode == http.StatusOK })
	return a
}

// logger logs to the test, so that a failing one shows what happened.
func logger(t *testing.T) *zap.Logger {
	t.Helper()
	return zaptest.NewLogger(t, zaptest.Level(zap.InfoLevel), zaptest.WrapOptions(zap.WithFatalHook(nil)))
}

// answer is a response, read whole.
type response struct {
	*http.Response
	body []byte
}

// checked holds every answer against the contract.
var contractClient = &http.Client{Transport: contracttest.Transport{}}

// do sends a request with a body as it is; contentType is left out when empty.
func (a *airlock) do(method, path, contentType string, body []byte) response {
	a.t.Helper()
	header := http.Header{}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return a.doRequest(method, path, header, body)
}

// doWith sends a request with headers and no body.
func (a *airlock) getWithHeader(method, path string, header http.Header) response {
	a.t.Helper()
	return a.doRequest(method, path, header.Clone(), nil)
}

func (a *airlock) doRequest(method, path string, header http.Header, body []byte) response {
	a.t.Helper()
	req, err := http.NewRequestWithContext(a.t.Context(), method, a.URL+path, bytes.NewReader(body))
	require.NoError(a.t, err)
	req.Header = header
	if a.tenant != "" {
		req.Header.Set("X-User-Id", a.tenant)
	}
	if a.apiKey != "" {
		req.Header.Set("Authorization", "Bearer "+a.apiKey)
	}
	res, err := contractClient.Do(req)
	require.NoError(a.t, err)
	defer res.Body.Close()
	read, err := io.ReadAll(res.Body)
	require.NoError(a.t, err)
	return response{Response: res, body: read}
}

// patience is how often a read is repeated that was not answered for want of
// Firestore, on a machine that is busy with other tests.
const maxReadRetries = 5

// call sends JSON and reads JSON, and requires the status. A read comes again
// as its Retry-After says.
func (a *airlock) call(method, path string, status int, body, result any) response {
	a.t.Helper()
	var sent []byte
	contentType := ""
	if body != nil {
		var err error
		sent, err = json.Marshal(body)
		require.NoError(a.t, err)
		contentType = "application/json"
	}
	got := a.do(method, path, contentType, sent)
	for attempt := 0; attempt < maxReadRetries && method == http.MethodGet && status == http.StatusOK && got.StatusCode == http.StatusServiceUnavailable; attempt++ {
		after, err := strconv.Atoi(got.Header.Get("Retry-After"))
		require.NoError(a.t, err)
		time.Sleep(time.Duration(after) * time.Second)
		got = a.do(method, path, contentType, sent)
	}
	require.Equal(a.t, status, got.StatusCode, "%s %s: %s", method, path, got.body)
	if result != nil {
		require.NoError(a.t, json.Unmarshal(got.body, result))
	}
	return got
}

// as is the same Airlock for another caller.
func (a *airlock) asTenant(tenant string) *airlock {
	other := *a
	other.tenant = tenant
	return &other
}

// with is the same Airlock for who has a key.
func (a *airlock) withAPIKey(secret string) *airlock {
	other := *a
	other.apiKey = secret
	return &other
}

func (a *airlock) sendMessage(m contract.SendMessage) contract.AcceptedExecution {
	a.t.Helper()
	var accepted contract.AcceptedExecution
	a.call(http.MethodPost, "/api/conversation", http.StatusAccepted, m, &accepted)
	return accepted
}

func (a *airlock) createAgent(c contract.CreateAgent) contract.Agent {
	a.t.Helper()
	var created contract.Agent
	a.call(http.MethodPost, "/agents", http.StatusCreated, c, &created)
	return created
}

func (a *airlock) runAgent(agentID, input string) contract.AcceptedExecution {
	a.t.Helper()
	var accepted contract.AcceptedExecution
	a.call(http.MethodPost, "/agents/"+agentID+"/run", http.StatusAccepted, contract.RunAgent{Input: input}, &accepted)
	return accepted
}

// get reads an execution as it is.
func (a *airlock) getExecution(executionID string) contract.Execution {
	a.t.Helper()
	var e contract.Execution
	a.call(http.MethodGet, "/executions/"+executionID, http.StatusOK, nil, &e)
	return e
}

// await long-polls until the execution has ended.
func (a *airlock) awaitExecution(executionID string) contract.Execution {
	a.t.Helper()
	deadline := time.Now().Add(90 * time.Second)
	for {
		var e contract.Execution
		a.call(http.MethodGet, "/executions/"+executionID+"?wait=30s", http.StatusOK, nil, &e)
		if isFinished(e) {
			return e
		}
		require.True(a.t, time.Now().Before(deadline), "execution has not ended: %+v", e)
	}
}

func isFinished(e contract.Execution) bool {
	return e.Status != contract.StatusQueued && e.Status != contract.StatusRunning
}

// containers lists those of this Airlock's executor.
func (a *airlock) containers() []container.Summary {
	a.t.Helper()
	list, err := a.docker.ContainerList(context.Background(), container.ListOptions{
		All: true, Filters: filters.NewArgs(filters.Arg("label", "airlock.executor="+a.executorName)),
	})
	require.NoError(a.t, err)
	return list
}

func (a *airlock) awaitNoContainers() {
	a.t.Helper()
	a.eventually("no container left", func() bool { return len(a.containers()) == 0 })
}

// eventually is for what announces itself to nobody.
func (a *airlock) eventually(what string, holds func() bool) {
	a.t.Helper()
	require.Eventually(a.t, holds, 30*time.Second, 20*time.Millisecond, what)
}
