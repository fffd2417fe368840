package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/client"
)

// Every line has the files of the command line besides its own. A wrong line stays as it is, so that the server names
// it.
func TestFilesAreAddedToLines(t *testing.T) {
	lines := `"one"` + "\n\n" + `{"input":"two","files":[{"path":"own","fileId":"file_2"}]}` + "\n" + `{"text":"x"}` + "\nno JSON"
	reader := addFilesToLines(strings.NewReader(lines), []client.InputFile{client.FileByID("in", "file_1")})
	defer reader.Close()
	got, err := io.ReadAll(reader)
	require.NoError(t, err)
	require.Equal(t, []string{
		`{"input":"one","files":[{"fileId":"file_1","path":"in"}]}`,
		`{"input":"two","files":[{"fileId":"file_2","path":"own"},{"fileId":"file_1","path":"in"}]}`,
		`{"text":"x"}`, `no JSON`,
	}, strings.Split(strings.TrimSpace(string(got)), "\n"))
}
