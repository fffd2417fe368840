// Package bench measures the whole way of an execution: the API over HTTP, the
// executor, and both emulators over gRPC with their data on disk, in one
// process as in airlock dev. There is nothing in it but benchmarks.
package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
)

func TestMain(m *testing.M) {
	process.RelaxGC() // as airlock dev does
	os.Exit(m.Run())
}

const tenant = "ada"

// plant is all of Airlock but what makes the containers.
type benchEnv struct {
	b         testing.TB
	store     *store.Store
	queue     *queue.Queue
	artifacts *blob.Store
	baseURL   string // base URL
	agent     agent.Agent
	http      *http.Client
	finished  atomic.Int64 // executions, so far
}

func newBenchEnv(b testing.TB) *benchEnv {
	b.Helper()
	fs := emulatortest.StartFirestore(b, firestoreemulator.Options{Dir: b.TempDir()})
	ps := emulatortest.StartPubSub(b, pubsubemulator.Options{Dir: b.TempDir()})
	artifacts, err := blob.Open(b.Context(), "file://"+b.TempDir())
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, artifacts.Close()) })
	p := &benchEnv{
		b: b, store: store.New(fs.Client), queue: queue.New(ps.Client), artifacts: artifacts,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}},
	}
	b.Cleanup(p.queue.Close)
	b.Cleanup(p.http.CloseIdleConnections)
	require.NoError(b, p.queue.Ensure(b.Context()))
	p.agent = agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(b, p.store.CreateAgent(b.Context(), &p.agent, nil))

	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	p.baseURL = "http://" + l.Addr().String()
	server := api.New(api.Config{
		Stores: api.StoresOf(p.store), Submitter: p.store, Queue: p.queue, Log: zap.NewNop(),
		Runtimes: []string{"offline"}, DefaultRuntime: "offline", WebUI: http.NotFoundHandler(), Artifacts: artifacts, Auth: api.DevAuthenticator{},
	})
	p.runInBackground(func(ctx context.Context) error { return server.Serve(ctx, l, time.Second) })
	return p
}

// during runs a part until the benchmark, or stop, ends it.
func (p *benchEnv) runInBackground(run func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running errgroup.Group
	running.Go(func() error { return run(ctx) })
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(p.b, running.Wait())
	})
	p.b.Cleanup(stop)
	return stop
}

// execute runs an executor around the sandbox.
func (p *benchEnv) startExecutor(sb executor.Sandbox, slots int, runtimes *agentruntime.Registry) (stop func()) {
	x := executor.New(executor.Config{
		Name: "bench", Slots: slots, Lease: execution.DefaultLease, Heartbeat: execution.DefaultHeartbeat, Grace: time.Second,
		Executions: p.store, Tasks: p.store, Queue: p.queue, Sandbox: sb, Runtimes: runtimes, Artifacts: p.artifacts, Log: zap.NewNop(),
		OnFinished: func(execution.Execution) { p.finished.Add(1) },
	})
	return p.runInBackground(x.Run)
}

// offline is the one runtime, in the image given; its own where that is empty.
func offlineRegistry(image string) *agentruntime.Registry {
	for _, entry := range catalog.Builtin().Runtimes {
		if entry.Name == "offline" {
			if image != "" {
				entry.Image = image
			}
			return agentruntime.NewRegistry(agentruntime.FromCatalog(entry, nil))
		}
	}
	panic("there is no offline runtime")
}

// nothing is a sandbox whose jobs have always just answered.
type noopSandbox struct{}

func (noopSandbox) Run(context.Context, sandbox.Job) (sandbox.Outcome, error) {
	return sandbox.Outcome{EndReason: sandbox.Exited, Stdout: []byte(`{"type":"result","subtype":"success","num_turns":1,"result":"done"}` + "\n")}, nil
}

func (noopSandbox) Ping(context.Context) error { return nil }

// post asks for a run over HTTP, and returns its ID.
func (p *benchEnv) submitRun(ctx context.Context) (string, error) {
	var accepted struct {
		ID string `json:"executionId"`
	}
	err := p.call(ctx, http.MethodPost, "/agents/"+p.agent.ID+"/run", `{"input":"one two three"}`, http.StatusAccepted, &accepted)
	return accepted.ID, err
}

// wait waits over HTTP until the execution has ended.
func (p *benchEnv) waitForStatus(ctx context.Context, id string) (status string, err error) {
	var e struct {
		Status string `json:"status"`
	}
	err = p.call(ctx, http.MethodGet, "/executions/"+id+"?wait=30s", "", http.StatusOK, &e)
	return e.Status, err
}

func (p *benchEnv) call(ctx context.Context, method, path, body string, want int, into any) error {
	req, err := http.NewRequestWithContext(ctx, method, p.baseURL+path, bytes.NewBufferString(body))
	if err != nil {
		return err
	}
	req.Header.Set("X-User-Id", tenant)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return json.Unmarshal(answer, into)
}

// awaitEnded waits until so many executions have ended since before.
func (p *benchEnv) awaitFinished(before, n int64) {
	for p.finished.Load() < before+n {
		time.Sleep(time.Millisecond) // measured is the work, of which there is much
	}
}

// rest waits until the plant has been doing nothing for a while.
func (p *benchEnv) awaitIdle() {
	const while, nothing = time.Second, 20 * time.Millisecond
	for {
		used := cpuTime(p.b)
		time.Sleep(while)
		if cpuTime(p.b)-used < nothing {
			return
		}
	}
}

// each does n things, so many at a time.
func runParallel(tb testing.TB, n, parallel int, f func() error) {
	tb.Helper()
	var group errgroup.Group
	group.SetLimit(parallel)
	for range n {
		group.Go(f)
	}
	require.NoError(tb, group.Wait())
}

// cpu is the time that this process has spent computing. Unlike the time that
// passes it does not depend on who else uses the machine.
func cpuTime(tb testing.TB) time.Duration {
	tb.Helper()
	var used unix.Rusage
	require.NoError(tb, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
