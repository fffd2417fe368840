package bench

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// BenchmarkRestore compares the restore of a workspace of 50 MiB in 5,000 files, into a warm container, with zstd and
// tar, which unpack the same snapshot into a tmpfs of this machine, in turns. Of Airlock it measures the time by which
// the agent starts later than without a workspace.
func BenchmarkRestore(b *testing.B) {
	const turns, files, size = 5, 5000, 50 << 20
	d := newDriver(b, 1)
	newBenchEnv(b).runInBackground(d.RunWarmPool)
	runtimes := offlineRegistry(offlineImage)
	e := execution.New(execution.Spec{
		Tenant: tenant, Kind: execution.KindRun, Task: execution.Task{Runtime: "offline", Input: "one"}, Limits: execution.Limits{Timeout: time.Minute},
	}, time.Now())
	run := func(snapshot []byte, maxSnapshot int64) sandbox.Outcome {
		awaitWarm(b, 1)
		run, failure := runtimes.Prepare(b.Context(), &e)
		require.Nil(b, failure)
		run.Job.MaxSnapshot = maxSnapshot
		run.Job.Workspace = sandbox.Workspace{Content: bytes.NewReader(snapshot), Size: int64(len(snapshot))}
		o, err := d.Run(b.Context(), run.Job)
		require.NoError(b, err)
		require.Equal(b, sandbox.Exited, o.EndReason)
		return o
	}
	first := run(packFiles(b, files, size/files), sandbox.MaxSnapshotBytes)
	require.Equal(b, sandbox.SnapshotComplete, first.Snapshot.State)
	snapshot, err := io.ReadAll(first.Snapshot.Content)
	require.NoError(b, err)
	require.NoError(b, first.Close())

	var empty, full, host []time.Duration
	for b.Loop() {
		for range turns {
			empty = append(empty, run(nil, 0).AgentStarted)
			full = append(full, run(snapshot, 0).AgentStarted)
			host = append(host, unpackOnHost(b, snapshot))
		}
	}
	restored := median(full) - median(empty)
	b.ReportMetric(milliseconds(median(empty)), "start-p50-ms")
	b.ReportMetric(milliseconds(restored), "restore-p50-ms")
	b.ReportMetric(milliseconds(median(host)), "tar-p50-ms")
	b.ReportMetric(float64(restored)/float64(median(host)), "ratio")
}

// packFiles returns a snapshot of files in folders of 100. Half of each file is random, so that it cannot be compressed
// well.
func packFiles(b *testing.B, n, size int) []byte {
	b.Helper()
	var out bytes.Buffer
	compressed, err := zstd.NewWriter(&out)
	require.NoError(b, err)
	archive := tar.NewWriter(compressed)
	random := rand.NewChaCha8([32]byte{})
	content := make([]byte, size)
	for i := range n {
		dir := fmt.Sprintf("folder-%d", i/100)
		if i%100 == 0 {
			require.NoError(b, archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755}))
		}
		_, err := random.Read(content[:size/2])
		require.NoError(b, err)
		require.NoError(b, archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: fmt.Sprintf("%s/file-%d", dir, i), Mode: 0o644, Size: int64(size), ModTime: time.Unix(1, 0),
		}))
		_, err = archive.Write(content)
		require.NoError(b, err)
	}
	require.NoError(b, archive.Close())
	require.NoError(b, compressed.Close())
	return out.Bytes()
}

// unpackOnHost measures zstd and tar with a snapshot, which comes from a pipe as it does in a container.
func unpackOnHost(b *testing.B, snapshot []byte) time.Duration {
	b.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "airlock-")
	require.NoError(b, err)
	defer os.RemoveAll(dir)
	cmd := exec.CommandContext(b.Context(), "sh", "-c", `zstd -dc | tar -x -C "$0"`, dir)
	cmd.Stdin = bytes.NewReader(snapshot)
	began := time.Now()
	out, err := cmd.CombinedOutput()
	require.NoError(b, err, "%s", out)
	return time.Since(began)
}
