package frame

import (
	"bytes"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/sandbox"
)

func TestStartRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := Start{
			Secret:    NewSecret(),
			Argv:      rapid.SliceOfN(rapid.String(), 1, 5).Draw(t, "argv"),
			Env:       rapid.SliceOf(rapid.String()).Draw(t, "env"),
			Files:     randomFiles.Draw(t, "files"),
			Workspace: rapid.Int64Range(0, 1<<40).Draw(t, "workspace"),
			Egress:    rapid.Bool().Draw(t, "egress"),
			Ahead:     rapid.Bool().Draw(t, "ahead"),
		}
		raw, err := EncodeStart(sent)
		require.NoError(t, err)
		stream := bytes.NewReader(append(raw, "next bytes"...))
		got, err := ReadStart(stream)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(sent, got, cmpopts.EquateEmpty()))
		rest, _ := io.ReadAll(stream)
		require.Equal(t, "next bytes", string(rest))
	})
}

func TestInvalidStartFrameIsRefused(t *testing.T) {
	valid := Start{Secret: NewSecret(), Argv: []string{"a"}}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"empty input":        {nil, io.EOF},
		"no frame":           {[]byte("GET / HTTP/1.1"), ErrMalformed},
		"another version":    {[]byte(magicPrefix + "3\x00\x00\x00\x00\x00\x00\x00\x00"), ErrVersion},
		"no secret":          {mustEncode(t, startHeader{Start: Start{Argv: []string{"a"}}}), ErrMalformed},
		"no program":         {mustEncode(t, startHeader{Start: Start{Secret: NewSecret()}}), ErrMalformed},
		"negative workspace": {mustEncode(t, startHeader{Start: Start{Secret: NewSecret(), Argv: []string{"a"}, Workspace: -1}}), ErrMalformed},
		"a file too many":    {mustEncode(t, startHeader{Start: valid, FileSizes: []fileHeader{{Size: 1}}}), ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ReadStart(bytes.NewReader(c.raw))
			require.ErrorIs(t, err, c.want)
		})
	}
	_, err := EncodeStart(Start{Argv: []string{string(make([]byte, 1<<20))}})
	require.ErrorIs(t, err, ErrTooLarge)
}

func FuzzReadStart(f *testing.F) {
	valid, err := EncodeStart(Start{Secret: NewSecret(), Argv: []string{"a"}, Files: []sandbox.File{{Path: "/f", Data: []byte("y")}}})
	require.NoError(f, err)
	f.Add(valid)
	f.Add(valid[:len(valid)-1])
	f.Fuzz(func(t *testing.T, raw []byte) {
		start, err := ReadStart(bytes.NewReader(raw))
		if err != nil {
			requireKnownError(t, err)
			return
		}
		require.NotEmpty(t, start.Argv)
	})
}
