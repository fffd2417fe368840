package docker

import (
	"cmp"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

const (
	defaultTimeout = 120 * time.Second
	// maxOutput ends a job that writes more, kept or not; it fits /run/output.
	maxOutput = 64 << 20
	// maxCollect bounds Job.Collect: a session file or two.
	maxCollect = 16
)

// complete fills in the defaults and refuses a job that no sandbox can run.
func complete(job sandbox.Job) (sandbox.Job, error) {
	job.Limits = withDefaults(job.Limits)
	job.Timeout = cmp.Or(job.Timeout, defaultTimeout)

	l := job.Limits
	switch {
	case job.Image == "":
		return job, invalid("no image")
	case len(job.Argv) == 0 || job.Argv[0] == "":
		return job, invalid("no program")
	case job.Timeout < 0 || job.Quiet < 0 || l.Memory < 0 || l.CPUs < 0 || l.PIDs < 0 || l.Output < 0:
		return job, invalid("a limit below zero")
	case l.Output > maxOutput:
		return job, invalid("%d bytes of output are over %d", l.Output, maxOutput)
	}
	for _, s := range append(append([]string{}, job.Argv...), job.Env...) {
		if strings.ContainsRune(s, 0) {
			return job, invalid("a zero byte in arguments or environment")
		}
	}
	for _, entry := range job.Env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
			return job, invalid("environment holds an entry that is not NAME=value")
		}
	}
	return job, checkFiles(job)
}

func withDefaults(l sandbox.Limits) sandbox.Limits {
	return sandbox.Limits{
		Memory: cmp.Or(l.Memory, sandbox.DefaultLimits.Memory),
		CPUs:   cmp.Or(l.CPUs, sandbox.DefaultLimits.CPUs),
		PIDs:   cmp.Or(l.PIDs, sandbox.DefaultLimits.PIDs),
		Output: cmp.Or(l.Output, sandbox.DefaultLimits.Output),
	}
}

func checkFiles(job sandbox.Job) error {
	size := 0
	for _, f := range job.Files {
		if err := checkPath(f.Path); err != nil {
			return err
		}
		if f.Mode&^0o777 != 0 {
			return invalid("file mode %o has more than permission bits", f.Mode)
		}
		size += len(f.Data)
	}
	if size > sandbox.MaxFiles {
		return invalid("%d bytes of files are over %d", size, sandbox.MaxFiles)
	}
	if len(job.Collect) > maxCollect {
		return invalid("more than %d files to collect", maxCollect)
	}
	for _, p := range job.Collect {
		if err := checkPath(p); err != nil {
			return err
		}
	}
	return nil
}

func checkPath(p string) error {
	inside := strings.HasPrefix(p, "/workspace/") || strings.HasPrefix(p, "/home/agent/")
	if !inside || path.Clean(p) != p || strings.ContainsRune(p, 0) || len(p) > sandbox.MaxOutPath {
		return invalid("file path %q is not a clean, short path below /workspace or /home/agent", p)
	}
	return nil
}

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidJob, fmt.Sprintf(format, args...))
}

// encode makes the job's frame, and the secret that its reports are made with.
func encode(job sandbox.Job) (raw, secret []byte, err error) {
	secret = frame.NewSecret()
	_, none := job.Egress.(nowhere)
	told := frame.Job{
		Secret: secret, Argv: job.Argv, Env: job.Env, Stdin: job.Stdin,
		Collect: job.Collect, Timeout: job.Timeout, Quiet: job.Quiet, Keep: job.Limits.Output, Total: maxOutput, Egress: !none,
	}
	for _, f := range job.Files {
		told.Files = append(told.Files, frame.File{Path: f.Path, Mode: cmp.Or(f.Mode, 0o644), Data: f.Data})
	}
	raw, err = frame.EncodeJob(told)
	if err != nil {
		return nil, nil, invalid("%v", err)
	}
	return raw, secret, nil
}
