package guest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// defaultEnv is in the environment of every agent. The job may override an entry.
var defaultEnv = []string{
	"HOME=" + sandbox.HomeDir,
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	"USER=agent",
	"LANG=C.UTF-8",
}

// buildEnv returns the agent's complete environment: defaultEnv without the names of jobEnv, then jobEnv. Nothing of
// init's own environment is in it.
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

// startAgent starts the agent's process. It does not use os.StartProcess, whose Process must be waited for: init waits
// for all its children in reapChildren.
func startAgent(job frame.Job, std *streams) (pid int, err error) {
	env := buildEnv(job.Env)
	program, err := lookPath(job.Argv[0], env)
	if err != nil {
		return 0, err
	}
	pid, err = syscall.ForkExec(program, job.Argv, &syscall.ProcAttr{
		Dir:   sandbox.WorkspaceDir,
		Env:   env,
		Files: []uintptr{std.stdin.Fd(), std.stdout.file.Fd(), std.stderr.file.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", program, err)
	}
	return pid, nil
}

// lookPath finds a program in the PATH of the agent's environment.
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

// reapChildren waits for every child process, which is PID 1's duty. It sends the agent's exit code to exited, and
// closes exited when no child is left.
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

// exitCode returns the exit code as a shell reports it: 128+n after signal n.
func exitCode(status unix.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}
