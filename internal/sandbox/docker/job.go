package docker

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

const (
	defaultTimeout = 120 * time.Second
	// maxKept bounds Limits.Output: the executor has so many bytes of a job in its memory.
	maxKept = 64 << 20
	// maxWritten bounds Limits.Written. A file in a sandbox cannot be larger than maxFileSize.
	maxWritten = maxFileSize - 1
	// maxCollect is the number of paths in Job.Collect at most. Jobs need one or two, for session files.
	maxCollect = 16
	// defaultFileMode applies to an input file whose mode is 0.
	defaultFileMode = 0o644
)

// normalizeJob returns the job with defaults, or ErrInvalidJob if no sandbox can run it.
func normalizeJob(job sandbox.Job) (sandbox.Job, error) {
	job.Limits = withDefaults(job.Limits)
	job.Timeout = cmp.Or(job.Timeout, defaultTimeout)

	l := job.Limits
	switch {
	case job.Image == "":
		return job, invalidJob("no image")
	case len(job.Argv) == 0 || job.Argv[0] == "":
		return job, invalidJob("no program")
	case min(job.Timeout, job.IdleTimeout) < 0, l.CPUs < 0, min(l.Memory, l.PIDs, l.Output, l.Written) < 0:
		return job, invalidJob("negative limit")
	case job.MaxSnapshot < 0 || job.MaxSnapshot > sandbox.MaxSnapshotBytes || job.Workspace.Size < 0:
		return job, invalidJob("snapshot of %d bytes, the maximum is %d", max(job.MaxSnapshot, job.Workspace.Size), sandbox.MaxSnapshotBytes)
	case l.Output > maxKept:
		return job, invalidJob("output limit of %d bytes, the maximum is %d", l.Output, maxKept)
	case l.Written > maxWritten:
		return job, invalidJob("limit of %d written bytes, the maximum is %d", l.Written, maxWritten)
	}
	for _, s := range append(append([]string{}, job.Argv...), job.Env...) {
		if strings.ContainsRune(s, 0) {
			return job, invalidJob("zero byte in arguments or environment")
		}
	}
	for _, entry := range job.Env {
		if name, _, ok := strings.Cut(entry, "="); !ok || name == "" {
			return job, invalidJob("environment entry is not NAME=value")
		}
	}
	return job, validateFiles(job)
}

func withDefaults(l sandbox.Limits) sandbox.Limits {
	return sandbox.Limits{
		Memory: cmp.Or(l.Memory, sandbox.DefaultLimits.Memory),
		CPUs:   cmp.Or(l.CPUs, sandbox.DefaultLimits.CPUs),
		PIDs:   cmp.Or(l.PIDs, sandbox.DefaultLimits.PIDs),
		Output: cmp.Or(l.Output, sandbox.DefaultLimits.Output), Written: cmp.Or(l.Written, sandbox.DefaultLimits.Written),
	}
}

func validateFiles(job sandbox.Job) error {
	files, size := job.Files, 0
	if job.Ahead != nil {
		files = append(slices.Clone(job.Ahead.Files), files...)
	}
	for _, f := range files {
		if err := validatePath(f.Path); err != nil {
			return err
		}
		if f.Mode&^0o777 != 0 {
			return invalidJob("file mode %o has more than permission bits", f.Mode)
		}
		size += len(f.Data)
	}
	if len(job.Streamed) > sandbox.MaxStreamed {
		return invalidJob("more than %d streamed files", sandbox.MaxStreamed)
	}
	streamed := int64(0)
	for _, f := range job.Streamed {
		if err := validatePath(f.Path); err != nil {
			return err
		}
		if f.Mode&^0o777 != 0 || f.Size < 0 {
			return invalidJob("streamed file of mode %o and %d bytes", f.Mode, f.Size)
		}
		streamed += f.Size
	}
	if room := sandbox.WorkspaceCapacity(job.Limits.Memory); streamed > room {
		return invalidJob("input files of %d bytes, the working folder holds %d", streamed, room)
	}
	if size > sandbox.MaxFileBytes {
		return invalidJob("input files of %d bytes, the maximum is %d", size, sandbox.MaxFileBytes)
	}
	if len(job.Collect) > maxCollect {
		return invalidJob("more than %d files to collect", maxCollect)
	}
	paths := job.Collect
	if job.Folder != "" {
		paths = append(slices.Clone(paths), job.Folder)
	}
	for _, p := range paths {
		if err := validatePath(p); err != nil {
			return err
		}
	}
	return nil
}

func validatePath(p string) error {
	allowed := strings.HasPrefix(p, sandbox.WorkspaceDir+"/") || strings.HasPrefix(p, sandbox.HomeDir+"/")
	if !allowed || path.Clean(p) != p || strings.ContainsRune(p, 0) || len(p) > sandbox.MaxPathBytes {
		return invalidJob("file path %q is not a clean path of at most %d bytes below %s or %s",
			p, sandbox.MaxPathBytes, sandbox.WorkspaceDir, sandbox.HomeDir)
	}
	return nil
}

func invalidJob(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidJob, fmt.Sprintf(format, args...))
}

// maxStdout returns how many bytes of standard output init reports.
func maxStdout(job sandbox.Job) int64 {
	if job.Keep != nil {
		return job.Limits.Written
	}
	return job.Limits.Output
}

// encodeJob returns the job's frame.
func encodeJob(job sandbox.Job) (raw []byte, err error) {
	streamed := make([]frame.StreamedFile, len(job.Streamed))
	for i, f := range job.Streamed {
		streamed[i] = frame.StreamedFile{Path: f.Path, Mode: cmp.Or(f.Mode, defaultFileMode), Size: f.Size}
	}
	raw, err = frame.EncodeJob(frame.Job{
		Stdin: job.Stdin, Files: withModes(job.Files), Streamed: streamed, Collect: job.Collect, Folder: job.Folder,
		// Init does not know how long the egress waits. The driver does, and stops the job in time.
		Timeout: job.Timeout + job.Egress.MaxWait(), IdleTimeout: job.IdleTimeout,
		MaxStdout: maxStdout(job), MaxWritten: job.Limits.Written, MaxSnapshot: job.MaxSnapshot,
	})
	if err != nil {
		return nil, invalidJob("%v", err)
	}
	return raw, nil
}

// withModes returns the files with the default mode where none is set.
func withModes(files []sandbox.File) []sandbox.File {
	files = slices.Clone(files)
	for i := range files {
		files[i].Mode = cmp.Or(files[i].Mode, defaultFileMode)
	}
	return files
}
