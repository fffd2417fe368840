package sessionfolder_test

import (
	"archive/tar"
	"bytes"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/agentruntime/sessionfolder"
)

// pack returns a tar of entries; size is that of the content, unless the header has another type.
func pack(t require.TestingT, entries ...tar.Header) []byte {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, header := range entries {
		header.Format = tar.FormatPAX
		if header.Typeflag == 0 {
			header.Typeflag, header.Size = tar.TypeReg, int64(len(header.Name))
		}
		require.NoError(t, w.WriteHeader(&header))
		if header.Typeflag == tar.TypeReg {
			_, err := w.Write([]byte(header.Name))
			require.NoError(t, err)
		}
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

// The file that was changed last comes last, so that it also is the newest one when the files are written again.
func TestUnpack(t *testing.T) {
	at := func(second int64) time.Time { return time.Unix(second, 5) }
	files, err := sessionfolder.Unpack(pack(t, tar.Header{Name: "a/b", Mode: 0o4600, ModTime: at(2)}, tar.Header{Name: "c", Mode: 0o644, ModTime: at(1)}))
	require.NoError(t, err)
	require.Equal(t, []sessionfolder.File{{"c", 0o644, at(1), []byte("c")}, {"a/b", 0o600, at(2), []byte("a/b")}}, files)
	require.Equal(t, []string{"c", "a/b"}, sessionfolder.Paths(files))
}

// A session leaves the sandbox of an agent that may be hostile.
func TestUnpackRejects(t *testing.T) {
	many := make([]tar.Header, 1001)
	for i := range many {
		many[i].Name = strings.Repeat("x", i+1)
	}
	valid := pack(t, tar.Header{Name: "a"})
	for name, data := range map[string][]byte{
		"a symbolic link":     pack(t, tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}),
		"a hard link":         pack(t, tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: "b"}),
		"a device":            pack(t, tar.Header{Name: "a", Typeflag: tar.TypeChar}),
		"a folder":            pack(t, tar.Header{Name: "a/", Typeflag: tar.TypeDir}),
		"a parent":            pack(t, tar.Header{Name: "../a"}),
		"only a parent":       pack(t, tar.Header{Name: ".."}),
		"a parent within":     pack(t, tar.Header{Name: "a/../../b"}),
		"an absolute path":    pack(t, tar.Header{Name: "/etc/passwd"}),
		"no name":             pack(t, tar.Header{Name: "."}),
		"a backslash":         pack(t, tar.Header{Name: `a\b`}),
		"a line feed":         pack(t, tar.Header{Name: "a\nb"}),
		"a long path":         pack(t, tar.Header{Name: strings.Repeat("x", 2000)}),
		"a path twice":        pack(t, tar.Header{Name: "a"}, tar.Header{Name: "a"}),
		"a file and a folder": pack(t, tar.Header{Name: "a/b/c"}, tar.Header{Name: "a"}),
		"too many files":      pack(t, many...),
		"an incomplete tar":   valid[:512],
		"no tar":              bytes.Repeat([]byte("x"), 1024),
		"a file with holes":   sparse(t),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sessionfolder.Unpack(data)
			require.ErrorIs(t, err, sessionfolder.ErrMalformed)
		})
	}
}

// sparse returns a tar that says that its file has a terabyte, all of it a hole.
func sparse(t *testing.T) []byte {
	t.Helper()
	records := "22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n21 GNU.sparse.name=a\n37 GNU.sparse.realsize=1099511627776\n"
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "placeholder", Size: int64(len(records)), Format: tar.FormatUSTAR}))
	_, err := w.Write([]byte(records))
	require.NoError(t, err)
	require.NoError(t, w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "a", Size: 512, Format: tar.FormatUSTAR}))
	_, err = w.Write(append([]byte("0\n"), make([]byte, 510)...))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	data := out.Bytes()
	data[156] = tar.TypeXHeader // the first entry has the records of the second
	copy(data[148:156], "        ")
	sum := 0
	for _, b := range data[:512] {
		sum += int(b)
	}
	copy(data[148:156], []byte{'0' + byte(sum>>15&7), '0' + byte(sum>>12&7), '0' + byte(sum>>9&7), '0' + byte(sum>>6&7), '0' + byte(sum>>3&7), '0' + byte(sum&7), 0, ' '})
	header, err := tar.NewReader(bytes.NewReader(data)).Next()
	require.NoError(t, err)
	require.Equal(t, int64(1<<40), header.Size)
	return data
}

// Whatever the bytes are, the files have paths in the folder and no more bytes than the tar.
func TestUnpackOfChangedTar(t *testing.T) {
	valid := pack(t, tar.Header{Name: "a/b"}, tar.Header{Name: "c"}, tar.Header{Name: strings.Repeat("long/", 40) + "d"})
	rapid.Check(t, func(t *rapid.T) {
		data := bytes.Clone(valid)
		for range rapid.IntRange(1, 6).Draw(t, "changes") {
			data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "byte")
		}
		files, err := sessionfolder.Unpack(data)
		size := 0
		for _, f := range files {
			require.NoError(t, err)
			size += len(f.Data)
			require.True(t, strings.HasPrefix(path.Join("/home/agent/x", f.Path), "/home/agent/x/"), f.Path)
		}
		require.LessOrEqual(t, size, len(data))
	})
}

func TestEqual(t *testing.T) {
	file := func(name, data string) sessionfolder.File { return sessionfolder.File{Path: name, Data: []byte(data)} }
	a := []sessionfolder.File{file("a", "1"), file("b", "2")}
	changedLater := []sessionfolder.File{{Path: "b", Data: []byte("2"), ModTime: time.Unix(9, 0)}, file("a", "1")}
	require.True(t, sessionfolder.Equal(a, changedLater))
	for _, other := range [][]sessionfolder.File{nil, a[:1], {file("a", "1"), file("b", "3")}, {file("a", "1"), file("c", "2")}} {
		require.False(t, sessionfolder.Equal(a, other))
	}
}
