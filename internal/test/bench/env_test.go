// Package bench measures executions from the request to the stored result: the
// API over HTTP, the executor, and both emulators over gRPC with their data on
// disk, in one process as in `airlock dev`. It contains only benchmarks.
package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/airlock-run/airlock/emulator/emulatortest"
	firestoreemulator "github.com/airlock-run/airlock/emulator/firestore"
	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/api"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/executor"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/membership"
	"github.com/airlock-run/airlock/internal/process"
	"github.com/airlock-run/airlock/internal/queue"
	"github.com/airlock-run/airlock/internal/quota/quotatest"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/watch"
)

func TestMain(m *testing.M) {
	process.RelaxGC() // as airlock dev does
	os.Exit(m.Run())
}

const tenant = "ada"

// benchEnv is an Airlock in this process without executors. startExecutor adds one.
type benchEnv struct {
	b         testing.TB
	store     *store.Store
	queue     *queue.Queue
	artifacts *blob.Store
	baseURL   string // of the API
	agent     agent.Agent
	http      *http.Client
	finished  finishedCount
}

// newBenchEnv starts it. The dial options are for the client of Firestore.
func newBenchEnv(b testing.TB, firestore ...grpc.DialOption) *benchEnv {
	b.Helper()
	fs := emulatortest.StartFirestore(b, firestoreemulator.Options{Dir: b.TempDir()}, firestore...)
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
	require.NoError(b, p.queue.Ensure(b.Context(), "offline"))
	p.agent = agent.Agent{Tenant: tenant, Name: "A", Instructions: "B", Runtime: "offline", Timeout: time.Minute}
	require.NoError(b, p.store.CreateAgent(b.Context(), &p.agent, nil))

	l, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	require.NoError(b, err)
	p.baseURL = "http://" + l.Addr().String()
	server := api.New(api.Config{
		Stores: api.StoresOf(p.store), Submitter: quotatest.Unlimited{Store: p.store}, Queue: p.queue, Log: zap.NewNop(),
		Watch: watch.New(p.store, id.New(id.Process), zap.NewNop()), LiveSteps: livesteps.NewFollower(p.store, zap.NewNop()),
		Runtimes: []string{"offline"}, DefaultRuntime: "offline", WebUI: http.NotFoundHandler(), Artifacts: artifacts, Auth: api.DevAuthenticator{},
	})
	p.runInBackground(func(ctx context.Context) error { return server.Serve(ctx, l, time.Second) })
	return p
}

// runInBackground runs a function until stop is called or the benchmark ends.
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

// startExecutor runs an executor with this sandbox until stop is called or the benchmark ends.
func (p *benchEnv) startExecutor(sb executor.Sandbox, slots int, runtimes *agentruntime.Registry, change ...func(*executor.Config)) (stop func()) {
	return p.startExecutorWithSteps(sb, slots, runtimes, nil, change...)
}

// startExecutorWithSteps is startExecutor with a server of live steps; nil: there is none.
func (p *benchEnv) startExecutorWithSteps(
	sb executor.Sandbox, slots int, runtimes *agentruntime.Registry, steps *livesteps.Server, change ...func(*executor.Config),
) (stop func()) {
	member := membership.NewMember(membership.MemberConfig{
		Store: p.store, Process: id.New(id.Process), Kind: fleet.KindExecutor, Log: zap.NewNop(),
		Info: func() fleet.Executor { return fleet.Executor{Endpoint: steps.Endpoint()} },
	})
	p.runInBackground(member.Run)
	config := executor.Config{
		Name: "bench", Slots: slots, Grace: time.Second, Sessions: member,
		Executions: p.store, Tasks: p.store, Queue: p.queue, Sandbox: sb, Runtimes: runtimes, Artifacts: p.artifacts, Log: zap.NewNop(),
		OnFinished: func(execution.Execution) { p.finished.increment() },
	}
	for _, c := range change {
		c(&config)
	}
	x := executor.New(config)
	p.runInBackground(func(ctx context.Context) error { return steps.Serve(ctx, x) })
	return p.runInBackground(x.Run)
}

// offlineRegistry returns a registry with the offline runtime alone. An empty image stands for the runtime's own.
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

// noopSandbox is a sandbox whose jobs finish immediately.
type noopSandbox struct{}

func (noopSandbox) Run(context.Context, sandbox.Job) (sandbox.Outcome, error) {
	return sandbox.Outcome{EndReason: sandbox.Exited, Stdout: []byte(`{"type":"result","subtype":"success","num_turns":1,"result":"done"}` + "\n")}, nil
}

func (noopSandbox) StartAhead(context.Context, sandbox.Job) (release func(), err error) {
	return func() {}, nil
}

func (noopSandbox) Ping(context.Context) error  { return nil }
func (noopSandbox) Probe(context.Context) error { return nil }

func (noopSandbox) Try(context.Context, sandbox.Job) error { return nil }

// submitRun submits a run over HTTP and returns the ID of its execution.
func (p *benchEnv) submitRun(ctx context.Context) (string, error) {
	var accepted struct {
		ID string `json:"executionId"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.baseURL+"/agents/"+p.agent.ID+"/run", strings.NewReader(`{"input":"one two three"}`))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/json")
	err = p.do(req, http.StatusAccepted, &accepted)
	return accepted.ID, err
}

// awaitStatus waits over HTTP until the execution has finished, and returns its status.
func (p *benchEnv) awaitStatus(ctx context.Context, id string) (status string, err error) {
	var e struct {
		Status string `json:"status"`
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.baseURL+"/executions/"+id+"?wait=30s", nil)
	if err != nil {
		return "", err
	}
	err = p.do(req, http.StatusOK, &e)
	return e.Status, err
}

// do sends a request, requires the status, and decodes the body.
func (p *benchEnv) do(req *http.Request, status int, result any) error {
	req.Header.Set("X-User-Id", tenant)
	resp, err := p.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != status {
		return fmt.Errorf("%s %s: %s: %s", req.Method, req.URL.Path, resp.Status, body)
	}
	return json.Unmarshal(body, result)
}

// finishedCount counts finished executions. It is safe for concurrent use.
type finishedCount struct {
	mu      sync.Mutex
	n       int
	changed chan struct{} // closed by the next increment, if somebody waits
}

func (c *finishedCount) increment() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// load returns the count, and a channel that the next increment closes.
func (c *finishedCount) load() (n int, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed == nil {
		c.changed = make(chan struct{})
	}
	return c.n, c.changed
}

// awaitFinished waits until n executions have finished in total.
func (p *benchEnv) awaitFinished(n int) {
	for {
		finished, changed := p.finished.load()
		if finished >= n {
			return
		}
		<-changed
	}
}

// awaitIdle waits until the process has used almost no CPU time for a second.
func (p *benchEnv) awaitIdle() {
	const period, idleCPU = time.Second, 20 * time.Millisecond
	for {
		used := cpuTime(p.b)
		time.Sleep(period)
		if cpuTime(p.b)-used < idleCPU {
			return
		}
	}
}

// runParallel calls f n times, up to parallel times concurrently.
func runParallel(tb testing.TB, n, parallel int, f func() error) {
	tb.Helper()
	var group errgroup.Group
	group.SetLimit(parallel)
	for range n {
		group.Go(f)
	}
	require.NoError(tb, group.Wait())
}

// cpuTime returns the CPU time that this process has used. Unlike elapsed time,
// it hardly depends on other programs on the machine.
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
