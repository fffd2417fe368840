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
func normalizeJob(job sandbox.Job) (sandbox.Job, error) {
	job.Limits = withDefaults(job.Limits)
	job.Timeout = cmp.Or(job.Timeout, defaultTimeout)

	l := job.Limits
	switch {
	case job.Image == "":
		return job, invalidJob("no image")
	case len(job.Argv) == 0 || job.Argv[0] == "":
		return job, invalidJob("no program")
	case job.Timeout < 0 || job.IdleTimeout < 0 || l.Memory < 0 || l.CPUs < 0 || l.PIDs < 0 || l.Output < 0:
		return job, invalidJob("a limit below zero")
	case l.Output > maxOutput:
		return job, invalidJob("%d bytes of output are over %d", l.Output, maxOutput)
	}
	for _, s := range append(append([]string{}, job.Argv...), job.Env...) {
		if strings.ContainsRune(s, 0) {
			return job, invalidJob("a zero byte in arguments or environment")
		}
	}
	for _, entry := range job.Env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
			return job, invalidJob("environment holds an entry that is not NAME=value")
		}
	}
	return job, validateFiles(job)
}

func withDefaults(l sandbox.Limits) sandbox.Limits {
	return sandbox.Limits{
		Memory: cmp.Or(l.Memory, sandbox.DefaultLimits.Memory),
		CPUs:   cmp.Or(l.CPUs, sandbox.DefaultLimits.CPUs),
		PIDs:   cmp.Or(l.PIDs, sandbox.DefaultLimits.PIDs),
		Output: cmp.Or(l.Output, sandbox.DefaultLimits.Output),
	}
}

func validateFiles(job sandbox.Job) error {
	size := 0
	for _, f := range job.Files {
		if err := validatePath(f.Path); err != nil {
			return err
		}
		if f.Mode&^0o777 != 0 {
			return invalidJob("file mode %o has more than permission bits", f.Mode)
		}
		size += len(f.Data)
	}
	if size > sandbox.MaxFileBytes {
		return invalidJob("%d bytes of files are over %d", size, sandbox.MaxFileBytes)
	}
	if len(job.Collect) > maxCollect {
		return invalidJob("more than %d files to collect", maxCollect)
	}
	for _, p := range job.Collect {
		if err := validatePath(p); err != nil {
			return err
		}
	}
	return nil
}

func validatePath(p string) error {
	allowed := strings.HasPrefix(p, "/workspace/") || strings.HasPrefix(p, "/home/agent/")
	if !allowed || path.Clean(p) != p || strings.ContainsRune(p, 0) || len(p) > sandbox.MaxPathBytes {
		return invalidJob("file path %q is not a clean, short path below /workspace or /home/agent", p)
	}
	return nil
}

func invalidJob(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidJob, fmt.Sprintf(format, args...))
}

// encode makes the job's frame, and the secret that its reports are made with.
func encodeJob(job sandbox.Job) (raw, secret []byte, err error) {
	secret = frame.NewSecret()
	_, none := job.Egress.(noEgress)
	frameJob := frame.Job{
		Secret: secret, Argv: job.Argv, Env: job.Env, Stdin: job.Stdin,
		Collect: job.Collect, Timeout: job.Timeout, IdleTimeout: job.IdleTimeout, MaxStdout: job.Limits.Output, MaxOutput: maxOutput, Egress: !none,
	}
	for _, f := range job.Files {
		frameJob.Files = append(frameJob.Files, frame.File{Path: f.Path, Mode: cmp.Or(f.Mode, 0o644), Data: f.Data})
	}
	raw, err = frame.EncodeJob(frameJob)
	if err != nil {
		return nil, nil, invalidJob("%v", err)
	}
	return raw, secret, nil
}
