package docker

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap/zaptest"

	"github.com/airlock-run/airlock/internal/sandbox"
)

var probeImage = cmp.Or(os.Getenv("AIRLOCK_PROBE_IMAGE"), "airlock/sandbox-probe:dev")

// runtimeEnv is the variable with another runtime for these tests.
const runtimeEnv = "AIRLOCK_TEST_RUNTIME"

// TestMain requires an Engine and the probe image, which most of these tests need.
func TestMain(m *testing.M) {
	if dir := os.Getenv(killedExecutorEnv); dir != "" {
		fmt.Fprintln(os.Stderr, runUntilKilled(dir))
		os.Exit(1)
	}
	if err := checkEngine(); err != nil {
		fmt.Fprintf(os.Stderr, "these tests need a Docker Engine (scripts/engine.sh up) "+
			"and the probe image (scripts/images.sh probe):\n%v\n", err)
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

func checkEngine() error {
	dir, err := os.MkdirTemp("", "airlock")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := New(Config{SocketDir: dir})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	defer d.Close(ctx)
	_, err = d.Check(ctx, probeImage)
	return err
}

// newDriver returns a driver with its own socket folder. The end of the test closes it.
func newDriver(tb testing.TB, opts Config) *Driver {
	tb.Helper()
	if opts.SocketDir == "" {
		opts.SocketDir = socketDir(tb)
	}
	if opts.Runtime == "" {
		opts.Runtime = os.Getenv(runtimeEnv)
	}
	opts.Log = zaptest.NewLogger(tb)
	d, err := New(opts)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, d.Close(context.Background())) })
	return d
}

// socketDir returns a new directory whose path is short enough for sockets. The path of t.TempDir is too long.
func socketDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "airlock")
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, os.RemoveAll(dir)) })
	return dir
}

var probeSpec = newSpec(probeImage, sandbox.DefaultLimits)

func probe(args ...string) sandbox.Job {
	return sandbox.Job{
		Execution: "exe_test",
		Image:     probeImage,
		Argv:      append([]string{"/probe"}, args...),
		Timeout:   time.Minute,
	}
}

// normalizedJob returns the job with defaults, as Run does.
func normalizedJob(t *testing.T, job sandbox.Job) sandbox.Job {
	t.Helper()
	if job.Egress == nil {
		job.Egress = noEgress{}
	}
	job, err := normalizeJob(job)
	require.NoError(t, err)
	return job
}

// run runs a job that must have an outcome.
func run(tb testing.TB, d *Driver, job sandbox.Job) sandbox.Outcome {
	tb.Helper()
	out, err := d.Run(tb.Context(), job)
	require.NoError(tb, err)
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }

func fileUID(info os.FileInfo) uint32 { return info.Sys().(*syscall.Stat_t).Uid }
