package guest

import (
	"archive/tar"
	"bytes"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// tree returns what is in a folder: for each path its mode, its time and its content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		require.NoError(t, err)
		name, err := filepath.Rel(dir, path)
		require.NoError(t, err)
		info, err := d.Info()
		require.NoError(t, err)
		if name == "." {
			return nil
		}
		entry := info.Mode().String()
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			entry += " " + info.ModTime().UTC().Format(time.RFC3339Nano) + " " + string(content)
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			require.NoError(t, err)
			entry += " -> " + target
		case info.IsDir():
			entry += " " + info.ModTime().UTC().Format(time.RFC3339Nano)
		}
		entries[name] = entry
		return nil
	}))
	return entries
}

func openRoot(t *testing.T, dir string) *os.Root {
	t.Helper()
	root, err := os.OpenRoot(dir)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, root.Close()) })
	return root
}

func packed(t *testing.T, dir string) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, packWorkspace(openRoot(t, dir), &out, 1<<30))
	return out.Bytes()
}

func TestWorkspaceRoundTrip(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	write := func(name, content string, mode fs.FileMode) {
		path := filepath.Join(from, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		at := time.Date(2020, 1, 2, 3, 4, 5, len(content), time.UTC)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	write("main.go", "package main", 0o644)
	write("run.sh", "#!/bin/sh", 0o755)
	write(".git/objects/ab/cdef", strings.Repeat("object", 100_000), 0o444)
	write("out/Bericht – größer.txt", "", 0o600)
	write(strings.Repeat("long/", 40)+"name", "deep", 0o640)
	require.NoError(t, os.Mkdir(filepath.Join(from, "empty"), 0o750))
	require.NoError(t, os.Mkdir(filepath.Join(from, "read-only"), 0o700))
	write("read-only/file", "x", 0o400)
	require.NoError(t, os.Chmod(filepath.Join(from, "read-only"), 0o500))
	require.NoError(t, os.Symlink("../../etc/passwd", filepath.Join(from, "outside")))
	require.NoError(t, os.Symlink("main.go", filepath.Join(from, "inside")))
	require.NoError(t, os.Link(filepath.Join(from, "main.go"), filepath.Join(from, "another name")))
	snapshot := packed(t, from)
	require.NoError(t, unpackWorkspace(openRoot(t, to), bytes.NewReader(snapshot)))
	require.Equal(t, tree(t, from), tree(t, to))
	one, err := os.Stat(filepath.Join(to, "main.go"))
	require.NoError(t, err)
	other, err := os.Stat(filepath.Join(to, "another name"))
	require.NoError(t, err)
	require.True(t, os.SameFile(one, other), "two names of one file")
	require.True(t, bytes.Equal(snapshot, packed(t, to)), "the same files give the same bytes")
}

// What does not fit after a restore is no snapshot: names of one file count once, holes count in full.
func TestSnapshotFitsAfterRestore(t *testing.T) {
	from := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(from, "file"), make([]byte, 1<<20), 0o600))
	for _, name := range []string{"a", "b", "c"} {
		require.NoError(t, os.Link(filepath.Join(from, "file"), filepath.Join(from, name)))
	}
	require.NoError(t, packWorkspace(openRoot(t, from), io.Discard, 1<<20))
	hole, err := os.Create(filepath.Join(from, "hole"))
	require.NoError(t, err)
	require.NoError(t, hole.Truncate(1<<30))
	require.NoError(t, hole.Close())
	require.ErrorIs(t, packWorkspace(openRoot(t, from), io.Discard, 2<<20), errSnapshotTooLarge)
}

func TestEmptyWorkspaceHasNoSnapshot(t *testing.T) {
	require.Empty(t, packed(t, t.TempDir()))
}

// What an agent has made unreadable is in the snapshot, and what is no file is not.
func TestSnapshotOfOddFiles(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(from, "locked"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(from, "locked/file"), []byte("inside"), 0o600))
	require.NoError(t, os.Chmod(filepath.Join(from, "locked/file"), 0))
	require.NoError(t, os.Chmod(filepath.Join(from, "locked"), 0))
	require.NoError(t, unix.Mkfifo(filepath.Join(from, "pipe"), 0o600))
	require.NoError(t, unpackWorkspace(openRoot(t, to), bytes.NewReader(packed(t, from))))
	require.NoFileExists(t, filepath.Join(to, "pipe"))
	info, err := os.Lstat(filepath.Join(to, "locked"))
	require.NoError(t, err)
	require.Equal(t, fs.FileMode(0), info.Mode().Perm())
	require.NoError(t, os.Chmod(filepath.Join(to, "locked"), 0o700))
	content, err := os.ReadFile(filepath.Join(to, "locked/file")) // the test may be root
	if err == nil {
		require.Equal(t, "inside", string(content))
	}
}

// A snapshot creates nothing outside of the workspace, and follows no link of its own that leads out.
func TestUnpackStaysInside(t *testing.T) {
	for name, headers := range map[string][]tar.Header{
		"parent":            {{Name: "../evil", Typeflag: tar.TypeReg}},
		"absolute":          {{Name: "/evil", Typeflag: tar.TypeReg}},
		"through a link":    {{Name: "out", Typeflag: tar.TypeSymlink, Linkname: ".."}, {Name: "out/evil", Typeflag: tar.TypeReg}},
		"over a link":       {{Name: "evil", Typeflag: tar.TypeSymlink, Linkname: "../evil"}, {Name: "evil", Typeflag: tar.TypeReg}},
		"attributes":        {{Name: "evil", Typeflag: tar.TypeSymlink, Linkname: "../victim"}, {Name: "evil", Typeflag: tar.TypeDir, Mode: 0}},
		"a device":          {{Name: "evil", Typeflag: tar.TypeChar}},
		"a hard link":       {{Name: "evil", Typeflag: tar.TypeLink, Linkname: "../victim"}},
		"the same path":     {{Name: "evil", Typeflag: tar.TypeReg}, {Name: "evil", Typeflag: tar.TypeReg}},
		"the workspace":     {{Name: ".", Typeflag: tar.TypeDir}},
		"a path without it": {{Name: "missing/evil", Typeflag: tar.TypeReg}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			require.NoError(t, os.Mkdir(filepath.Join(dir, "workspace"), 0o700))
			require.NoError(t, os.WriteFile(filepath.Join(dir, "victim"), []byte("unchanged"), 0o600))
			var snapshot bytes.Buffer
			compressed, err := zstd.NewWriter(&snapshot)
			require.NoError(t, err)
			archive := tar.NewWriter(compressed)
			for _, h := range headers {
				require.NoError(t, archive.WriteHeader(&h))
			}
			require.NoError(t, archive.Close())
			require.NoError(t, compressed.Close())
			require.Error(t, unpackWorkspace(openRoot(t, filepath.Join(dir, "workspace")), &snapshot))
			entries, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Len(t, entries, 2, "the workspace and the victim")
			content, err := os.ReadFile(filepath.Join(dir, "victim"))
			require.NoError(t, err)
			require.Equal(t, "unchanged", string(content))
		})
	}
}

func TestDamagedSnapshotIsAnError(t *testing.T) {
	from := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(from, "file"), bytes.Repeat([]byte("content"), 1000), 0o600))
	snapshot := packed(t, from)
	require.Error(t, unpackWorkspace(openRoot(t, t.TempDir()), bytes.NewReader(snapshot[:len(snapshot)/2])))
	require.Error(t, unpackWorkspace(openRoot(t, t.TempDir()), strings.NewReader("rubbish")))
}
