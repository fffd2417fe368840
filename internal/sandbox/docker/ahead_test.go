package docker

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

const (
	startFile = "/workspace/of-the-start"
	jobFile   = "/workspace/of-the-job"
)

// aheadJob is a job whose agent prints what it finds when it starts, its input, and what it finds then.
func aheadJob(owner, input string) sandbox.Job {
	job := probe("read-wait-read", startFile, jobFile)
	job.Ahead = &sandbox.Ahead{Owner: owner, Files: []sandbox.File{{Path: startFile, Data: []byte("start")}}}
	job.Files = []sandbox.File{{Path: jobFile, Data: []byte("job")}}
	job.Stdin = []byte(input)
	return job
}

const aheadOutput = "start absent input start job "

// startAhead starts the agent of a job, and waits until it waits for its input.
func startAhead(t *testing.T, d *Driver, job sandbox.Job) (release func()) {
	t.Helper()
	before := map[string]bool{}
	for _, c := range containers(t, d) {
		before[c.ID] = true
	}
	release, err := d.StartAhead(t.Context(), job)
	require.NoError(t, err)
	for _, c := range containers(t, d) {
		if !before[c.ID] {
			awaitProcess(t, d, c.ID, job)
		}
	}
	return release
}

// awaitProcess waits until a container has the agent of a job, which then waits for its input.
func awaitProcess(t *testing.T, d *Driver, id string, job sandbox.Job) {
	t.Helper()
	name := "probe"
	if job.Argv[1] == "read-wait-read" {
		name = "waiting"
	}
	require.Eventually(t, func() bool {
		top, err := d.api.ContainerTop(t.Context(), id, []string{"-eo", "pid,comm"})
		return err == nil && strings.Contains(fmt.Sprint(top.Processes), " "+name+"]")
	}, 10*time.Second, 20*time.Millisecond)
}

// An agent that was started ahead has read nothing of its job, and its time begins with the job.
func TestJobGetsAgentThatWaits(t *testing.T) {
	d := newDriver(t, Config{})
	job := aheadJob("a", "input ")
	startAhead(t, d, job)
	out := run(t, d, job)
	require.Equal(t, aheadOutput, string(out.Stdout))
	require.True(t, out.Record.Warm)
	require.True(t, out.Record.Ahead)
	require.Less(t, out.Wall, out.Record.Times.Result.Sub(out.Record.Times.Started))

	out = run(t, d, job)
	require.Equal(t, "start job input start job ", string(out.Stdout), "without one, all files are there before the agent starts")
	require.False(t, out.Record.Ahead)
}

// Whatever differs in how the agent starts, the job gets another one.
func TestAgentThatWaitsFitsOneStart(t *testing.T) {
	d := newDriver(t, Config{})
	job := aheadJob("a", "input ")
	for name, change := range map[string]func(*sandbox.Job){
		"owner":       func(j *sandbox.Job) { j.Ahead.Owner = "b" },
		"arguments":   func(j *sandbox.Job) { j.Argv = []string{"/probe", "echo"} },
		"environment": func(j *sandbox.Job) { j.Env = []string{"A=b"} },
		"a file":      func(j *sandbox.Job) { j.Ahead.Files[0].Data = []byte("other") },
		"no files":    func(j *sandbox.Job) { j.Ahead.Files = nil },
		"limits":      func(j *sandbox.Job) { j.Limits.Memory = 128 << 20 },
		"egress":      func(j *sandbox.Job) { j.Ahead.Egress = true },
		"workspace":   func(j *sandbox.Job) { j.Workspace.SHA256 = []byte("x") },
		"not ahead":   func(j *sandbox.Job) { j.Ahead = nil },
	} {
		release := startAhead(t, d, job)
		other := aheadJob("a", "input ")
		change(&other)
		require.False(t, run(t, d, other).Record.Ahead, name)
		release()
		d.background.Wait()
		require.Empty(t, containers(t, d), "%s: release removes it", name)
	}
}

func TestStartKeysDiffer(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		job := rapid.Custom(func(t *rapid.T) sandbox.Job {
			words := rapid.SliceOfN(rapid.SampledFrom([]string{"", "a", "ab", "b"}), 0, 3)
			return sandbox.Job{Argv: words.Draw(t, "argv"), Env: words.Draw(t, "env"), Ahead: &sandbox.Ahead{Owner: strings.Join(words.Draw(t, "owner"), "")}}
		})
		a, b := job.Draw(t, "a"), job.Draw(t, "b")
		same := fmt.Sprintf("%q%q%q", a.Argv, a.Env, a.Ahead.Owner) == fmt.Sprintf("%q%q%q", b.Argv, b.Env, b.Ahead.Owner)
		require.Equal(t, same, newStartKey(a) == newStartKey(b))
	})
}

// What is left of an agent's input when it ends, and more input than a pipe holds, does not matter.
func TestAgentThatWaitsGetsLargeInput(t *testing.T) {
	d := newDriver(t, Config{})
	large := strings.Repeat("x", 2<<20)
	job := probe("echo")
	job.Ahead, job.Stdin = &sandbox.Ahead{}, []byte(large)
	startAhead(t, d, job)
	require.Equal(t, large, string(run(t, d, job).Stdout))

	job.Argv = []string{"/probe", "sleep", "1ms"}
	out := run(t, d, job)
	require.Equal(t, sandbox.Exited, out.EndReason)
	require.Zero(t, out.ExitCode)
}

// An agent that waits reaches its egress only with its job, also with a request that it sent before.
func TestAgentThatWaitsHasEgressWithItsJob(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("post", sandbox.EgressURL)
	job.Ahead = &sandbox.Ahead{Egress: true}
	startAhead(t, d, job)
	job.Stdin, job.Egress = []byte("hello"), newGateway(echoBody)
	out := run(t, d, job)
	require.Equal(t, "hello", string(out.Stdout))
	require.True(t, out.Record.Ahead)
}

func TestStoppedAndLateAgentsThatWaited(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("work-until-terminated")
	job.Ahead = &sandbox.Ahead{}
	startAhead(t, d, job)
	job.Timeout = 300 * time.Millisecond
	out := run(t, d, job)
	require.Equal(t, sandbox.TimedOut, out.EndReason)
	require.True(t, out.Record.Ahead)

	startAhead(t, d, job)
	job.Timeout = time.Minute
	ctx, stop := context.WithCancelCause(t.Context())
	job.OnStdout = func([]byte) { stop(sandbox.ErrStop) }
	out, err := d.Run(ctx, job)
	require.NoError(t, err)
	require.Equal(t, sandbox.Stopped, out.EndReason)
	require.True(t, out.Record.Ahead)
}

// A job does not notice that the agent which waited for it has ended.
func TestAgentThatEndedIsReplaced(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("exit", "3")
	job.Ahead = &sandbox.Ahead{}
	release, err := d.StartAhead(t.Context(), job)
	require.NoError(t, err)
	defer release()
	exited, errs := d.api.ContainerWait(t.Context(), containers(t, d)[0].ID, container.WaitConditionNotRunning)
	select {
	case <-exited:
	case err := <-errs:
		require.NoError(t, err)
	}
	out := run(t, d, job)
	require.Equal(t, 3, out.ExitCode)
	require.False(t, out.Record.Ahead)
}

// An agent that is killed in the moment in which its job comes, and has read nothing of it, is no agent that failed:
// the job can run again.
func TestAgentThatEndsBeforeItReadsItsJob(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("echo")
	job.Ahead, job.Stdin = &sandbox.Ahead{}, []byte("input")
	startAhead(t, d, job)
	id := containers(t, d)[0].ID
	top, err := d.api.ContainerTop(t.Context(), id, []string{"-eo", "pid,comm"})
	require.NoError(t, err)
	i := slices.IndexFunc(top.Processes, func(p []string) bool { return p[1] == "probe" })
	pid, err := strconv.Atoi(top.Processes[i][0])
	require.NoError(t, err)
	require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
	ended := make(chan error, 1)
	go func() {
		_, err := d.Run(t.Context(), job)
		ended <- err
	}()
	stdin, err := os.Open(fmt.Sprintf("/proc/%d/fd/0", pid))
	require.NoError(t, err)
	defer stdin.Close()
	require.Eventually(t, func() bool {
		waiting, err := unix.IoctlGetInt(int(stdin.Fd()), unix.TIOCINQ)
		return err == nil && waiting == len(job.Stdin)
	}, 10*time.Second, time.Millisecond, "its input comes")
	require.NoError(t, unix.Kill(pid, unix.SIGKILL))
	err = <-ended
	require.ErrorIs(t, err, ErrFault)
	require.ErrorContains(t, err, "before")
	require.Equal(t, "input", string(run(t, d, job).Stdout))
}

// Nobody has to find out that an agent which waited has ended: it is replaced before.
func TestDeadAgentsAreReplaced(t *testing.T) {
	template := aheadJob("", "")
	d := newDriver(t, Config{WarmPools: []WarmPool{{Job: template, MinIdle: 1}}})
	d.maintainPool(t.Context(), time.Now())
	d.background.Wait()
	release := startAhead(t, d, aheadJob("a", ""))
	defer release()
	for _, c := range containers(t, d) {
		require.NoError(t, d.api.ContainerKill(t.Context(), c.ID, "KILL"))
		exited, _ := d.api.ContainerWait(t.Context(), c.ID, container.WaitConditionNotRunning)
		<-exited
	}
	d.maintainPool(t.Context(), time.Now())
	d.background.Wait()
	require.Equal(t, sandbox.WaitingAgents{AnyJob: 1}, d.WaitingAgents())
	require.Len(t, containers(t, d), 1)
	require.True(t, run(t, d, aheadJob("", "input ")).Record.Ahead)
}

// An agent that works although it has no job is ended.
func TestAgentThatWaitsMayNotWork(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("spin")
	job.Ahead = &sandbox.Ahead{}
	release, err := d.StartAhead(t.Context(), job)
	require.NoError(t, err)
	defer release()
	d.pool.mu.Lock()
	var c *sandboxContainer
	for _, held := range d.pool.held {
		c = held
	}
	d.pool.mu.Unlock()
	exited, errs := d.api.ContainerWait(t.Context(), c.id, container.WaitConditionNotRunning)
	select {
	case <-exited:
	case err := <-errs:
		require.NoError(t, err)
	}
	require.False(t, c.isWaiting())
	require.Contains(t, c.endReason(), "of CPU time before its job came")
}

// The pool starts agents ahead, again and again: those that are configured, and those that jobs had.
func TestWarmPoolStartsAgents(t *testing.T) {
	template := aheadJob("", "")
	d := newDriver(t, Config{WarmPools: []WarmPool{{Job: template, MinIdle: 1}}, WarmMaxExtra: 2})
	d.maintainPool(t.Context(), time.Now())
	for range 2 {
		d.background.Wait()
		require.Equal(t, sandbox.WaitingAgents{AnyJob: 1}, d.WaitingAgents())
		awaitProcess(t, d, containers(t, d)[0].ID, template)
		out := run(t, d, aheadJob("", "input "))
		require.Equal(t, aheadOutput, string(out.Stdout))
		require.True(t, out.Record.Ahead)
	}
	job := aheadJob("tenant", "input ")
	require.False(t, run(t, d, job).Record.Ahead)
	d.background.Wait()
	require.True(t, run(t, d, job).Record.Ahead, "by demand")

	job = aheadJob("once", "input ")
	job.Ahead.Once = true
	require.False(t, run(t, d, job).Record.Ahead)
	d.background.Wait()
	require.False(t, run(t, d, job).Record.Ahead, "no agent is started for a job that does not come again")
	d.background.Wait()
	d.maintainPool(t.Context(), time.Now().Add(demandWindow+time.Second))
	d.background.Wait()
	require.Len(t, containers(t, d), 1, "without demand, only the configured ones wait")
}

// A closed pool holds nothing.
func TestHeldAgentGoesWithPool(t *testing.T) {
	d := newDriver(t, Config{})
	release := startAhead(t, d, aheadJob("a", ""))
	startAhead(t, d, aheadJob("a", ""))
	require.Equal(t, sandbox.WaitingAgents{NextJob: 1}, d.WaitingAgents())
	d.background.Wait()
	require.Len(t, containers(t, d), 1, "the second replaced the first")
	d.drainPool(t.Context())
	release()
	d.background.Wait()
	require.Empty(t, containers(t, d))
	_, err := d.StartAhead(t.Context(), aheadJob("a", ""))
	require.NoError(t, err)
	d.background.Wait()
	require.Empty(t, containers(t, d))
	_, err = d.StartAhead(t.Context(), probe("exit", "0"))
	require.ErrorIs(t, err, ErrInvalidJob)
}
