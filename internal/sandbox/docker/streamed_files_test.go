package docker

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/sandbox"
)

// randomFile returns a reader of the same random bytes each time.
func randomFile(seed byte, size int64) io.Reader {
	return io.LimitReader(rand.NewChaCha8([32]byte{seed}), size)
}

func sumOf(t *testing.T, content io.Reader) string {
	t.Helper()
	h := sha256.New()
	n, err := io.Copy(h, content)
	require.NoError(t, err)
	return fmt.Sprintf("%x %d\n", h.Sum(nil), n)
}

// Files of 100 MiB and more reach the job without being in the memory of the executor. A job begins after its last
// byte, also if a file replaces one of the workspace.
func TestLargeFilesAreStreamed(t *testing.T) {
	d := newDriver(t, Config{})
	first := run(t, d, withSnapshot(probe("write-paths", "/workspace/data/old")))
	snapshot := snapshotOf(t, first)

	sizes := map[string]int64{"/workspace/data/old": 100 << 20, "/workspace/b": 100<<20 + 1, "/workspace/empty": 0}
	paths := []string{"/workspace/data/old", "/workspace/b", "/workspace/empty"}
	job := beginningWith(probe(append(append([]string{"sha256"}, paths...), "/workspace/small")...), snapshot)
	job.Files = []sandbox.File{{Path: "/workspace/small", Data: []byte("small")}}
	var want strings.Builder
	for i, path := range paths {
		job.Streamed = append(job.Streamed, sandbox.StreamedFile{Path: path, Size: sizes[path], Content: randomFile(byte(i), sizes[path])})
		want.WriteString(sumOf(t, randomFile(byte(i), sizes[path])))
	}
	want.WriteString(sumOf(t, strings.NewReader("small")))

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out := run(t, d, job)
	runtime.ReadMemStats(&after)
	require.Equal(t, want.String(), string(out.Stdout), "%s", out.Stderr)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "bytes that were allocated, also if they were freed")
}

func TestStreamedFilesThatDoNotFit(t *testing.T) {
	d := newDriver(t, Config{})
	job := probe("exit", "0")
	room := sandbox.WorkspaceCapacity(sandbox.DefaultLimits.Memory)
	job.Streamed = []sandbox.StreamedFile{{Path: "/workspace/a", Size: room + 1, Content: randomFile(0, room+1)}}
	_, err := d.Run(t.Context(), job)
	require.ErrorIs(t, err, sandbox.ErrInvalidJob, "before a container is used")
	require.ErrorContains(t, err, "the working folder holds")

	snapshot := snapshotOf(t, run(t, d, withSnapshot(probe("write-large-files", "/workspace/a", "20"))))
	job = beginningWith(probe("exit", "0"), snapshot)
	job.Streamed = []sandbox.StreamedFile{{Path: "/workspace/b", Size: room - 10<<20, Content: randomFile(0, room-10<<20)}}
	_, err = d.Run(t.Context(), job)
	require.ErrorIs(t, err, sandbox.ErrInvalidJob, "with the files of the workspace")
	require.ErrorContains(t, err, "write /workspace/b")

	job = probe("exit", "0")
	job.Streamed = []sandbox.StreamedFile{{Path: "/etc/passwd", Size: 1, Content: strings.NewReader("x")}}
	_, err = d.Run(t.Context(), job)
	require.ErrorIs(t, err, sandbox.ErrInvalidJob)
}
