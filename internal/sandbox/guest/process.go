package guest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
func startAgent(start frame.Start, std *streams) (pid int, err error) {
	env := buildEnv(start.Env)
	program, err := lookPath(start.Argv[0], env)
	if err != nil {
		return 0, startError(start.Argv[0], env, err)
	}
	pid, err = syscall.ForkExec(program, start.Argv, &syscall.ProcAttr{
		Dir:   sandbox.WorkspaceDir,
		Env:   env,
		Files: []uintptr{std.stdin.agent.Fd(), std.stdout.file.Fd(), std.stderr.file.Fd()},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, startError(start.Argv[0], env, err)
	}
	return pid, nil
}

// programError means that the image does not have the agent's program, or that the kernel cannot execute it.
type programError struct {
	program string
	err     error
}

func (e *programError) Error() string { return fmt.Sprintf("start %s: %v", e.program, e.err) }
func (e *programError) Unwrap() error { return e.err }

// startError returns the error about an agent that was not started. It is a *programError only if the image is the
// cause, whatever the job: not a limit of the sandbox, the length of the arguments or an input file.
func startError(program string, env []string, err error) error {
	ofProgram := slices.ContainsFunc([]error{
		exec.ErrNotFound, fs.ErrNotExist, fs.ErrPermission, unix.EISDIR, unix.ENOEXEC, unix.ENOTDIR, unix.ELOOP, unix.ELIBBAD,
	}, func(cause error) bool { return errors.Is(err, cause) })
	if ofProgram && isOfImage(program, env) {
		return &programError{program, err}
	}
	return fmt.Errorf("start %s: %w", program, err)
}

// isOfImage reports whether the program, or all folders of the PATH in which it is searched, are outside of the folders
// of input files.
func isOfImage(program string, env []string) bool {
	places := []string{program}
	if !strings.Contains(program, "/") {
		places = filepath.SplitList(pathOf(env))
	}
	return !slices.ContainsFunc(places, func(place string) bool {
		return !filepath.IsAbs(place) || slices.ContainsFunc(writableDirs, func(dir string) bool {
			return strings.HasPrefix(filepath.Clean(place)+"/", dir+"/")
		})
	})
}

// pathOf returns the PATH of an environment.
func pathOf(env []string) (path string) {
	for _, entry := range env {
		if value, ok := strings.CutPrefix(entry, "PATH="); ok {
			path = value
		}
	}
	return path
}

// lookPath finds a program in the PATH of the agent's environment.
func lookPath(name string, env []string) (string, error) {
	if err := os.Setenv("PATH", pathOf(env)); err != nil {
		return "", err
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
