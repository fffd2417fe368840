package bench

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/filters"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
	"github.com/airlock-run/airlock/internal/agentruntime"
	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/app/executorservice"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/gateway"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// BenchmarkFirstRequest compares the time from a POST to the first request of the real Claude Code CLI to its model
// with a start of the same CLI on this machine, in turns: for a run, and for a later turn of a conversation. The agents
// wait, as they do when some seconds have passed since the last job. What the CLI itself needs, once it waits, is
// measured too: on this machine, without Airlock.
func BenchmarkFirstRequest(b *testing.B) {
	const turns = 7
	asked := make(chan time.Time, 100)
	model := modelstub.Start(func(r modelstub.Request) modelstub.Response {
		if len(r.Messages) > 0 {
			asked <- time.Now()
		}
		return modelstub.Text("Hello")
	})
	b.Cleanup(model.Close)
	a := startDev(b, model.URL())
	cli := copyCLI(b, a.config.Executor.ClaudeImage)
	agent, err := a.client.CreateAgent(b.Context(), client.CreateAgent{Name: "A", Instructions: "Answer", Runtime: "claude"})
	require.NoError(b, err)

	// measure returns the time from the beginning of start, which waits until the agent has ended, to the first request.
	measure := func(start func()) time.Duration {
		for len(asked) > 0 {
			<-asked
		}
		began := time.Now()
		start()
		return (<-asked).Sub(began)
	}
	await := func(accepted client.AcceptedExecution, err error) client.AcceptedExecution {
		require.NoError(b, err)
		e, err := a.client.Wait(b.Context(), accepted.ExecutionId)
		require.NoError(b, err)
		require.Equal(b, client.StatusSucceeded, e.Status, "%+v", e.Error)
		return accepted
	}
	for b.Loop() {
		a.awaitAgents(sandbox.WaitingAgents{AnyJob: 1})
		conversation := await(a.client.SendMessage(b.Context(), client.SendMessage{AgentId: agent.Id, Message: "hello"})).ConversationId
		var runs, messages, alone, waiting []time.Duration
		for range turns {
			a.awaitAgents(sandbox.WaitingAgents{AnyJob: 1, NextJob: 1})
			runs = append(runs, measure(func() { await(a.client.Run(b.Context(), agent.Id, client.RunAgent{Input: "hello"})) }))
			a.awaitAgents(sandbox.WaitingAgents{AnyJob: 1, NextJob: 1})
			messages = append(messages, measure(func() {
				await(a.client.SendMessage(b.Context(), client.SendMessage{ConversationId: conversation, Message: "go on"}))
			}))
			a.awaitAgents(sandbox.WaitingAgents{AnyJob: 1, NextJob: 1})
			alone = append(alone, measure(func() { cli.run(b, model.URL().String()) }))
			work, end := cli.startAhead(b, model.URL().String())
			a.awaitAgents(sandbox.WaitingAgents{AnyJob: 1, NextJob: 1}) // the CLI has as long to start
			waiting = append(waiting, measure(work))
			end()
		}
		b.ReportMetric(milliseconds(median(runs)), "run-p50-ms")
		b.ReportMetric(milliseconds(median(messages)), "turn-p50-ms")
		b.ReportMetric(milliseconds(median(alone)), "cli-p50-ms")
		b.ReportMetric(milliseconds(median(waiting)), "waiting-cli-p50-ms")
		b.ReportMetric(float64(median(runs))/float64(median(alone)), "run-ratio")
		b.ReportMetric(float64(median(messages))/float64(median(alone)), "turn-ratio")
		b.ReportMetric(float64(median(waiting))/float64(median(alone)), "waiting-cli-ratio")
	}
}

// awaitAgents waits until at least these agents wait, and have started: their containers use almost no CPU time.
func (a *devAirlock) awaitAgents(want sandbox.WaitingAgents) {
	a.b.Helper()
	const period, idle = time.Second, 0.05 // of a CPU
	deadline := time.Now().Add(5 * time.Minute)
	used, at := a.containerCPU(), time.Now()
	for {
		time.Sleep(period)
		ready, err := executorservice.AskReadiness(a.b.Context(), a.config.Executor.HealthListenAddr)
		require.NoError(a.b, err)
		before, since := used, at
		used, at = a.containerCPU(), time.Now()
		load, waiting := (used-before).Seconds()/at.Sub(since).Seconds(), ready.AgentsWaiting
		if waiting.AnyJob >= want.AnyJob && waiting.NextJob >= want.NextJob && load >= 0 && load < idle {
			return
		}
		require.True(a.b, time.Now().Before(deadline), "agents wait: %+v; CPU: %.2f", waiting, load)
	}
}

// containerCPU returns the CPU time of the containers of the executor.
func (a *devAirlock) containerCPU() (used time.Duration) {
	a.b.Helper()
	list, err := a.docker.ContainerList(a.b.Context(), container.ListOptions{
		Filters: filters.NewArgs(filters.Arg("label", "airlock.executor="+a.config.Executor.Name)),
	})
	require.NoError(a.b, err)
	for _, c := range list {
		reader, err := a.docker.ContainerStatsOneShot(a.b.Context(), c.ID)
		if errdefs.IsNotFound(err) {
			continue
		}
		require.NoError(a.b, err)
		var stats container.StatsResponse
		err = json.NewDecoder(reader.Body).Decode(&stats)
		require.NoError(a.b, reader.Body.Close())
		if errors.Is(err, io.EOF) {
			continue // it was removed meanwhile
		}
		require.NoError(a.b, err)
		used += time.Duration(stats.CPUStats.CPUUsage.TotalUsage)
	}
	return used
}

// hostCLI is the Claude Code CLI, outside of any container.
type hostCLI struct {
	dir, program string
	job          *sandbox.Job
}

// copyCLI copies the CLI out of its image.
func copyCLI(b *testing.B, image string) hostCLI {
	b.Helper()
	dir, err := os.MkdirTemp("", "airlock-cli-") // that of b.TempDir is closed to other users
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	require.NoError(b, os.Chmod(dir, 0o755))
	runtimes := catalog.Builtin().Runtimes
	entry := runtimes[slices.IndexFunc(runtimes, func(r catalog.Runtime) bool { return r.Name == "claude" })]
	e := execution.New(execution.Spec{
		Tenant: tenant, Kind: execution.KindRun, Limits: execution.Limits{Timeout: time.Minute},
		Task: execution.Task{Runtime: "claude", Instructions: "Answer", Input: "hello"},
	}, time.Now())
	g, err := gateway.New(gateway.Config{Upstream: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}, APIKey: "unused"})
	require.NoError(b, err)
	b.Cleanup(g.Close)
	cli := hostCLI{dir: dir, job: agentruntime.NewRegistry(agentruntime.FromCatalog(entry, g)).PrepareStart(&e)}
	require.NotNil(b, cli.job)
	cli.program = filepath.Join(dir, filepath.Base(cli.job.Argv[0]))
	id := strings.TrimSpace(runDocker(b, "create", image))
	runDocker(b, "cp", id+":"+cli.job.Argv[0], cli.program)
	runDocker(b, "rm", id)
	return cli
}

func runDocker(b *testing.B, args ...string) string {
	b.Helper()
	out, err := exec.CommandContext(b.Context(), "docker", args...).Output()
	require.NoError(b, err)
	return string(out)
}

// run runs the CLI as Airlock does, to its end: with the same arguments and the same input, in a new home directory.
// It does not run as root, as in a container.
func (c hostCLI) run(b *testing.B, baseURL string) {
	b.Helper()
	cmd := c.command(b, baseURL)
	cmd.Stdin = bytes.NewReader(c.job.Stdin)
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", out)
}

// startAhead starts the CLI, which waits. work gives it its input, and end waits until it has ended.
func (c hostCLI) startAhead(b *testing.B, baseURL string) (work, end func()) {
	b.Helper()
	cmd := c.command(b, baseURL)
	stdin, err := cmd.StdinPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	work = func() {
		_, err := stdin.Write(c.job.Stdin)
		require.NoError(b, err)
		require.NoError(b, stdin.Close())
	}
	return work, func() { require.NoError(b, cmd.Wait()) }
}

func (c hostCLI) command(b *testing.B, baseURL string) *exec.Cmd {
	b.Helper()
	home, err := os.MkdirTemp(c.dir, "home-")
	require.NoError(b, err)
	cmd := exec.CommandContext(b.Context(), c.program, c.job.Argv[1:]...)
	cmd.Dir = home
	cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, c.job.Env...)
	cmd.Env = append(cmd.Env, "ANTHROPIC_BASE_URL="+baseURL)
	if os.Geteuid() == 0 {
		const nobody = 65534
		require.NoError(b, os.Chown(home, nobody, nobody))
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	return cmd
}
