package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

const workdir = "/workspace"

// basics are what every agent's environment holds unless the job says other.
var defaultEnv = []string{
	"HOME=/home/agent",
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"USER=agent",
	"LANG=C.UTF-8",
}

// environment is the agent's whole environment. Of two values of one name the
// job's holds.
func buildEnv(jobEnv []string) []string {
	name := func(entry string) string { before, _, _ := strings.Cut(entry, "="); return before }
	overridden := make(map[string]bool, len(jobEnv))
	for _, entry := range jobEnv {
		overridden[name(entry)] = true
	}
	var env []string
	for _, entry := range defaultEnv {
		if !overridden[name(entry)] {
			env = append(env, entry)
		}
	}
	return append(env, jobEnv...)
}

// start runs the agent. It does not use os.StartProcess: that expects to reap
// the process itself, and init reaps them all.
func startAgent(job frame.Job, stdin, stdout, stderr *os.File) (pid int, err error) {
	env := buildEnv(job.Env)
	program, err := lookPath(job.Argv[0], env)
	if err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(program, job.Argv, &syscall.ProcAttr{
		Dir:   workdir,
		Env:   env,
		Files: []uintptr{stdin.Fd(), stdout.Fd(), stderr.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", program, err)
	}
	return pid, nil
}

// find resolves a program's name in the agent's own PATH.
func lookPath(name string, env []string) (string, error) {
	for _, entry := range env {
		if path, ok := strings.CutPrefix(entry, "PATH="); ok {
			if err := os.Setenv("PATH", path); err != nil {
				return "", err
			}
		}
	}
	return exec.LookPath(name)
}

// reap waits for every child, as PID 1 has to, and tells how the agent ended.
// It closes exited when no child is left.
func reapChildren(agentPID int, exited chan<- int) {
	defer close(exited)
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return
		case pid == agentPID:
			exited <- exitCode(status)
		}
	}
}

// exitCode is what a shell would say.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
