package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// runCollector runs a collector over dir and returns the reported files by path.
func runCollector(t require.TestingT, dir string, c *collector) map[string]string {
	var wire bytes.Buffer
	secret := frame.NewSecret()
	c.reports = frame.NewWriter(&wire, secret)
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	defer root.Close()
	require.NoError(t, c.walkDir(root, "/out", 0))

	got, name := map[string]string{}, ""
	for r := frame.NewReader(&wire, secret); ; {
		report, err := r.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		require.NoError(t, err)
		switch report.Kind {
		case frame.FileStart:
			name = string(report.Body)
			got[name] = ""
		case frame.FileContent:
			got[name] += string(report.Body)
		default:
			require.Fail(t, "unexpected report", report.Kind)
		}
	}
}

func newTestCollector() *collector { return &collector{remainingBytes: 1 << 20, remainingFiles: 100} }

// For any mix of sizes, a file is reported completely or omitted, the limits are respected, and every entry is either
// reported or counted as omitted.
func TestCollectRespectsLimits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "collect")
		require.NoError(t, err)
		defer os.RemoveAll(dir)
		sizes := rapid.SliceOfN(rapid.IntRange(0, 150_000), 0, 12).Draw(t, "sizes")
		for i, size := range sizes {
			require.NoError(t, os.WriteFile(filepath.Join(dir, strconv.Itoa(i)), bytes.Repeat([]byte{byte('a' + i)}, size), 0o644))
		}
		limit, count := rapid.Int64Range(0, 400_000).Draw(t, "bytes"), rapid.IntRange(0, 12).Draw(t, "files")
		c := &collector{remainingBytes: limit, remainingFiles: count}
		got := runCollector(t, dir, c)

		total := int64(0)
		for name, content := range got {
			i, err := strconv.Atoi(strings.TrimPrefix(name, "/out/"))
			require.NoError(t, err)
			require.Equal(t, strings.Repeat(string(rune('a'+i)), sizes[i]), content)
			total += int64(len(content))
		}
		require.LessOrEqual(t, total, limit)
		require.LessOrEqual(t, len(got), count)
		require.Equal(t, len(sizes), len(got)+c.omitted)
	})
}

func TestCollectIgnoresSymlinks(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(outside+"/secret", []byte("s"), 0o644))
	require.NoError(t, os.Mkdir(dir+"/real", 0o755))
	require.NoError(t, os.WriteFile(dir+"/real/f", []byte("f"), 0o644))
	for name, target := range map[string]string{
		"file": outside + "/secret", "directory": outside, "within": "real", "dangling": "nowhere", "up": "..",
	} {
		require.NoError(t, os.Symlink(target, filepath.Join(dir, name)))
	}
	c := newTestCollector()
	require.Equal(t, map[string]string{"/out/real/f": "f"}, runCollector(t, dir, c))
	require.Equal(t, 5, c.omitted)
}

func TestCollectStopsAtDepthAndEntryLimits(t *testing.T) {
	dir := t.TempDir()
	deep := dir + strings.Repeat("/d", maxDepth+2)
	require.NoError(t, os.MkdirAll(deep, 0o755))
	require.NoError(t, os.WriteFile(deep+"/f", nil, 0o644))
	c := newTestCollector()
	require.Empty(t, runCollector(t, dir, c))
	require.Equal(t, 1, c.omitted)

	c = newTestCollector()
	c.entriesRead = maxEntries - 1
	require.NoError(t, os.WriteFile(dir+"/a", nil, 0o644))
	require.NoError(t, os.WriteFile(dir+"/b", nil, 0o644))
	runCollector(t, dir, c)
	require.Positive(t, c.omitted)
}

func TestOpenDirIgnoresSymlinks(t *testing.T) {
	base, outside := t.TempDir(), t.TempDir()
	require.NoError(t, os.MkdirAll(base+"/a/b", 0o755))
	require.NoError(t, os.Symlink(outside, base+"/out"))
	require.NoError(t, os.Symlink("a", base+"/within"))
	allowed := []string{base}
	for dir, opened := range map[string]bool{
		base: true, base + "/a": true, base + "/a/b": true,
		base + "/out": false, base + "/within": false, base + "/within/b": false, base + "/a/nothing": false,
		outside: false, base + "/../x": false, "/": false,
	} {
		root := (&collector{}).openDir(dir, allowed)
		require.Equal(t, opened, root != nil, dir)
		if root != nil {
			require.NoError(t, root.Close())
		}
	}
}

func TestValidPath(t *testing.T) {
	for path, want := range map[string]bool{
		"/workspace/out/ü.txt": true, "/workspace/out/with space": true, "/workspace/out/-rf": true,
		"/workspace/out/a\nb": false, "/workspace/out/\x1b[31m": false, "/workspace/out/\xff": false, `/workspace/out/..\up`: false,
		"/" + strings.Repeat("x", sandbox.MaxPathBytes): false,
	} {
		require.Equal(t, want, validPath(path), "%q", path)
	}
}
