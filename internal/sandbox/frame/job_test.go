package frame

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

var randomFiles = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) sandbox.File {
	return sandbox.File{
		Path: rapid.String().Draw(t, "path"),
		Mode: rapid.Uint32().Draw(t, "mode"),
		Data: rapid.SliceOf(rapid.Byte()).Draw(t, "data"),
	}
}), 0, 4)

func randomJob(t *rapid.T) Job {
	return Job{
		Stdin:       rapid.SliceOf(rapid.Byte()).Draw(t, "stdin"),
		Files:       randomFiles.Draw(t, "files"),
		Collect:     rapid.SliceOf(rapid.String()).Draw(t, "collect"),
		Folder:      rapid.String().Draw(t, "folder"),
		Timeout:     time.Duration(rapid.Int64().Draw(t, "timeout")),
		IdleTimeout: time.Duration(rapid.Int64().Draw(t, "idleTimeout")),
		MaxStdout:   rapid.Int64().Draw(t, "maxStdout"),
		MaxWritten:  rapid.Int64().Draw(t, "maxOutput"),
		Streamed: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) StreamedFile {
			return StreamedFile{
				Path: rapid.String().Draw(t, "path"), Mode: rapid.Uint32().Draw(t, "mode"), Size: rapid.Int64Range(0, 1<<40).Draw(t, "size"),
			}
		}), 0, 4).Draw(t, "streamed"),
		MaxSnapshot: rapid.Int64().Draw(t, "maxSnapshot"),
	}
}

func TestJobRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := randomJob(t)
		raw, err := EncodeJob(sent)
		require.NoError(t, err)
		stream := bytes.NewReader(append(raw, "next bytes"...))
		got, err := ReadJob(stream)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(sent, got, cmpopts.EquateEmpty()))
		rest, _ := io.ReadAll(stream)
		require.Equal(t, "next bytes", string(rest))
	})
}

func TestTooLargeJobIsRefused(t *testing.T) {
	_, err := EncodeJob(Job{Stdin: make([]byte, 64<<20+1)})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = EncodeJob(Job{Collect: []string{string(make([]byte, 1<<20))}})
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestInvalidJobFrameIsRefused(t *testing.T) {
	valid, err := EncodeJob(Job{Stdin: []byte("stdin")})
	require.NoError(t, err)
	with := func(change func(raw []byte) []byte) []byte { return change(bytes.Clone(valid)) }
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"empty input":      {nil, io.EOF},
		"truncated prefix": {valid[:7], io.ErrUnexpectedEOF},
		"truncated body":   {valid[:len(valid)-1], io.ErrUnexpectedEOF},
		"no frame":         {with(func(raw []byte) []byte { raw[0] = 'a'; return raw }), ErrMalformed},
		"older version":    {with(func(raw []byte) []byte { raw[3] = '1'; return raw }), ErrVersion},
		"newer version":    {with(func(raw []byte) []byte { raw[3] = '9'; return raw }), ErrVersion},
		"huge header": {with(func(raw []byte) []byte {
			binary.BigEndian.PutUint32(raw[4:], 1<<31)
			return raw
		}), ErrTooLarge},
		"huge body": {with(func(raw []byte) []byte {
			binary.BigEndian.PutUint32(raw[8:], 1<<31)
			return raw
		}), ErrTooLarge},
		"longer body": {with(func(raw []byte) []byte {
			binary.BigEndian.PutUint32(raw[8:], 6)
			return append(raw, 'x')
		}), ErrMalformed},
		"negative stream": {mustEncode(t, jobHeader{Job: Job{Streamed: []StreamedFile{{Path: "/f", Size: -1}}}}), ErrMalformed},
		"negative size":   {mustEncode(t, jobHeader{StdinSize: 1, FileSizes: []fileHeader{{Size: -1}}}), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadJob(bytes.NewReader(c.raw))
			require.ErrorIs(t, err, c.want)
		})
	}
}

func TestControlFrames(t *testing.T) {
	job, err := EncodeJob(Job{})
	require.NoError(t, err)
	controls := []Control{{Waiting: true}, {Waiting: true}, {Stop: true}}
	raw := bytes.Clone(job)
	for _, c := range controls {
		raw = append(raw, EncodeControl(c)...)
	}
	stream := bytes.NewReader(raw)
	_, err = ReadJob(stream)
	require.NoError(t, err)
	for _, c := range controls {
		got, err := ReadControl(stream)
		require.NoError(t, err)
		require.Equal(t, c, got)
	}
	_, err = ReadControl(stream)
	require.ErrorIs(t, err, io.EOF)
	for _, invalid := range [][]byte{job, EncodeControl(Control{}), EncodeControl(Control{Stop: true, Waiting: true})} {
		_, err := ReadControl(bytes.NewReader(invalid))
		require.ErrorIs(t, err, ErrMalformed)
	}
}

func mustEncode(t *testing.T, header any) []byte {
	t.Helper()
	raw, err := encode(nil, jobBounds, header)
	require.NoError(t, err)
	return raw
}

func FuzzReadJob(f *testing.F) {
	valid, err := EncodeJob(Job{Stdin: []byte("x"), Files: []sandbox.File{{Path: "/f", Data: []byte("y")}}})
	require.NoError(f, err)
	f.Add(valid)
	f.Add(valid[:len(valid)-1])
	f.Fuzz(func(t *testing.T, raw []byte) {
		job, err := ReadJob(bytes.NewReader(raw))
		if err != nil {
			requireKnownError(t, err)
			return
		}
		size := len(job.Stdin)
		for _, file := range job.Files {
			size += len(file.Data)
		}
		require.LessOrEqual(t, size, len(raw))
	})
}

func requireKnownError(t *testing.T, err error) {
	t.Helper()
	for _, known := range []error{io.EOF, io.ErrUnexpectedEOF, ErrMalformed, ErrVersion, ErrTooLarge, ErrForged} {
		if errors.Is(err, known) {
			return
		}
	}
	require.Fail(t, "unknown error", "%v", err)
}
