package guest

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/sandbox/frame"
)

// newTestOutput returns an output and the bytes that its sink received.
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
			part := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "part")
			_, err := o.file.Write(part)
			require.NoError(t, err)
			want = append(want, part...)
			if rapid.Bool().Draw(t, "follow") {
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

func TestFollowReadsFromStartAfterTruncate(t *testing.T) {
	o, got := newTestOutput(t, t.TempDir(), 10)
	defer o.Close()
	_, err := o.file.WriteString("first output")
	require.NoError(t, err)
	require.NoError(t, o.follow())
	require.NoError(t, o.file.Truncate(0))
	_, err = o.file.WriteString("second")
	require.NoError(t, err)
	require.NoError(t, o.follow())

	require.Equal(t, "first outputsecond", got.String())
	require.EqualValues(t, len("first outputsecond"), o.total)
}

// The bytes that were read use no memory, although the file has its full size.
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

func TestFollowReturnsSinkError(t *testing.T) {
	sinkErr := errors.New("sink failed")
	o, err := newOutput(t.TempDir(), 1, func([]byte) error { return sinkErr })
	require.NoError(t, err)
	defer o.Close()
	_, err = o.file.WriteString("output")
	require.NoError(t, err)
	require.ErrorIs(t, o.follow(), sinkErr)
}

func TestEndsKeepFirstAndLastBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var e ends
		var all []byte
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 3*sandbox.MaxStderrBytes/2), 0, 6).Draw(t, "sizes of parts") {
			part := make([]byte, n)
			for i := range part {
				part[i] = byte(len(all) + i*i)
			}
			require.NoError(t, e.write(part))
			all = append(all, part...)
		}
		if len(all) <= firstBytes+lastBytes {
			require.True(t, bytes.Equal(all, e.bytes()))
			return
		}
		want := slices.Concat(all[:firstBytes], []byte(gap), all[len(all)-lastBytes:])
		require.True(t, bytes.Equal(want, e.bytes()))
		require.Len(t, want, sandbox.MaxStderrBytes)
	})
}

func TestOutputThatInitCannotFollow(t *testing.T) {
	write := func(o *output, size int64) {
		require.NoError(t, o.file.Truncate(size)) // a hole is read as zeros
		require.NoError(t, o.follow())
	}
	o, err := newOutput(t.TempDir(), 1<<20, func([]byte) error { return nil })
	require.NoError(t, err)
	defer o.Close()
	write(o, maxAhead)
	require.False(t, o.tooLarge())
	write(o, 2*maxAhead)
	require.False(t, o.tooLarge(), "init was never more than maxAhead behind")
	write(o, 3*maxAhead+1)
	require.True(t, o.tooLarge())
}

func TestHeadReportsFirstBytes(t *testing.T) {
	secret := frame.NewSecret()
	rapid.Check(t, func(t *rapid.T) {
		var wire bytes.Buffer
		limit := rapid.Int64Range(0, 200).Draw(t, "limit")
		h := &head{remaining: limit, reports: frame.NewWriter(&wire, secret)}
		var all, got []byte
		for _, part := range rapid.SliceOf(rapid.SliceOfN(rapid.Byte(), 0, 80)).Draw(t, "parts") {
			require.NoError(t, h.write(part))
			all = append(all, part...)
		}
		for r := frame.NewReader(&wire, secret); ; {
			report, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(t, err)
			require.Equal(t, frame.Stdout, report.Kind)
			require.NotEmpty(t, report.Body)
			got = append(got, report.Body...)
		}
		require.True(t, bytes.Equal(all[:min(int64(len(all)), limit)], got))
	})
}
