package guest

import (
	"bytes"
	"errors"
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// followed is an output whose pieces are collected.
func newTestOutput(t require.TestingT, dir string, chunk int) (*output, *bytes.Buffer) {
	var got bytes.Buffer
	o, err := newOutput(dir, chunk, func(p []byte) error { got.Write(p); return nil })
	require.NoError(t, err)
	return o, &got
}

func TestFollowReadsAllOutput(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		o, got := newTestOutput(t, dir, rapid.IntRange(1, 100).Draw(t, "chunk"))
		defer o.Close()
		var want []byte
		for range rapid.IntRange(0, 20).Draw(t, "writes") {
			piece := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "piece")
			_, err := o.file.Write(piece)
			require.NoError(t, err)
			want = append(want, piece...)
			if rapid.Bool().Draw(t, "look") {
				require.NoError(t, o.follow())
			}
		}
		require.NoError(t, o.follow())
		require.True(t, bytes.Equal(want, got.Bytes()))
		require.EqualValues(t, len(want), o.total)
	})
}

func TestOutputFileIsUnlinked(t *testing.T) {
	dir := t.TempDir()
	o, _ := newTestOutput(t, dir, 10)
	defer o.Close()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestFollowAfterTruncate(t *testing.T) {
	o, got := newTestOutput(t, t.TempDir(), 10)
	defer o.Close()
	_, err := o.file.WriteString("first words")
	require.NoError(t, err)
	require.NoError(t, o.follow())
	require.NoError(t, o.file.Truncate(0))
	_, err = o.file.WriteString("second")
	require.NoError(t, err)
	require.NoError(t, o.follow())

	require.Equal(t, "first wordssecond", got.String())
	require.EqualValues(t, 17, o.total)
}

// What was read no longer takes memory, though the file's size says otherwise.
func TestFollowReclaimsMemory(t *testing.T) {
	o, _ := newTestOutput(t, "/dev/shm", 64<<10)
	defer o.Close()
	_, err := o.file.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	require.NoError(t, o.follow())

	info, err := o.file.Stat()
	require.NoError(t, err)
	require.EqualValues(t, 8<<20, info.Size())
	require.Zero(t, info.Sys().(*syscall.Stat_t).Blocks)
}

func TestFollowSinkError(t *testing.T) {
	broken := errors.New("nobody there")
	o, err := newOutput(t.TempDir(), 1, func([]byte) error { return broken })
	require.NoError(t, err)
	defer o.Close()
	_, err = o.file.WriteString("lost")
	require.NoError(t, err)
	require.ErrorIs(t, o.follow(), broken)
}
