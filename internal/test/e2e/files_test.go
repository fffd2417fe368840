package e2e

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

const fileRuntimes = `
runtimes:
  - name: writer
    image: airlock/sandbox-claude:dev
    contract: command
    conversation: {history: file}
    argv: [/bin/bash, -c, 'mkdir -p out/sub && cd out && cat > "sub/<b>한 &.html" && printf 0123456789 > digits && ln -s /etc/passwd link && echo done']
  - name: reader
    image: airlock/sandbox-claude:dev
    contract: command
    argv: [/bin/bash, -c, 'cat > /dev/null; stat -c "%a %U" data/a.csv; cat data/a.csv; od -An -tx1 bytes; rm bytes && echo removed']
  - name: large
    image: airlock/sandbox-claude:dev
    contract: command
    output: json
    limits: {output: 16MiB}
    argv: [/bin/bash, -c, 'printf "{\"long\":\""; head -c 5000000 /dev/zero | tr "\0" x; printf "\"}"']
`

// withBlobDir stores the blobs in a folder in which the test can change them.
func withBlobDir(dir string) func(*dev.Config) {
	return func(d *dev.Config) { d.BlobURL = "file://" + dir }
}

func withFileRuntimes(t *testing.T) func(*dev.Config) {
	t.Helper()
	change := withRuntimes(t, fileRuntimes)
	return func(d *dev.Config) {
		change(d)
		d.API.DefaultRuntime = "writer"
	}
}

// The API returns output files by their names and in ranges, to their tenant only,
// and with headers that keep a browser from running them.
func TestOutputFiles(t *testing.T) {
	t.Parallel()
	a := start(t, withFileRuntimes(t))
	agent := a.createAgent(contract.CreateAgent{Name: "W", Instructions: "write", Runtime: "writer"})
	e := a.awaitExecution(a.runAgent(agent.Id, "<script>alert(1)</script>").ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	require.Len(t, e.Files, 2)
	require.Equal(t, 1, e.OmittedFileCount, "the symbolic link")
	digits, page := e.Files[0], e.Files[1]
	require.Equal(t, "digits", digits.Path)
	require.Equal(t, "sub/<b>한 &.html", page.Path)
	sum := sha256.Sum256([]byte("0123456789"))
	require.Equal(t, hex.EncodeToString(sum[:]), digits.Sha256)

	got := a.do(http.MethodGet, page.Url, "", nil)
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, "<script>alert(1)</script>", string(got.body))
	require.Equal(t, "application/octet-stream", got.Header.Get("Content-Type"))
	require.Contains(t, got.Header.Get("Content-Disposition"), "attachment")
	require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
	require.Contains(t, got.Header.Get("Content-Security-Policy"), "sandbox")
	escaped := a.do(http.MethodGet, "/executions/"+e.Id+"/files/sub%2F%3Cb%3E%ED%95%9C%20%26.html", "", nil)
	require.Equal(t, got.body, escaped.body, "a generated client escapes the slashes")

	part := a.doWithHeader(http.MethodGet, digits.Url, http.Header{"Range": {"bytes=3-5"}}, nil)
	require.Equal(t, http.StatusPartialContent, part.StatusCode)
	require.Equal(t, "345", string(part.body))
	require.Equal(t, "sha-256=:"+base64.StdEncoding.EncodeToString(sum[:])+":", part.Header.Get("Repr-Digest"))
	revalidated := a.doWithHeader(http.MethodGet, digits.Url, http.Header{"If-None-Match": {part.Header.Get("ETag")}}, nil)
	require.Equal(t, http.StatusNotModified, revalidated.StatusCode)

	for _, path := range []string{"", "nothing", "sub", "sub/", "link", "/digits", "./digits", "sub/../digits", "../../../../etc/passwd", "%2e%2e/digits", "digits%00", "DIGITS"} {
		got := a.do(http.MethodGet, "/executions/"+e.Id+"/files/"+path, "", nil)
		require.Equal(t, http.StatusNotFound, got.StatusCode, "%q: %s", path, got.body)
	}
	require.Equal(t, http.StatusNotFound, a.asTenant("eve").do(http.MethodGet, digits.Url, "", nil).StatusCode)

	var receipt struct{ FilesSha256 string }
	require.NoError(t, json.Unmarshal(e.Receipt, &receipt))
	list := sha256.Sum256(fmt.Appendf(nil, "%s  %s\n%s  %s\n", digits.Sha256, digits.Path, page.Sha256, page.Path))
	require.Equal(t, hex.EncodeToString(list[:]), receipt.FilesSha256)
}

// An agent finds the input files in its folder, with any content, and owns them.
func TestInputFiles(t *testing.T) {
	t.Parallel()
	a := start(t, withFileRuntimes(t))
	agent := a.createAgent(contract.CreateAgent{Name: "R", Instructions: "read", Runtime: "reader"})
	accepted := a.submitRun(agent.Id, contract.RunAgent{Input: "x", Files: []contract.InputFile{
		{Path: "data/a.csv", Content: new("1,2,세\n")},
		{Path: "bytes", Content: new("AP8="), Encoding: contract.Base64},
	}})
	e := a.awaitExecution(accepted.ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	require.Regexp(t, `^644 \S+\n1,2,세\n 00 ff\nremoved$`, e.Result.Text)
	require.Equal(t, "data/a.csv", e.InputFiles[0].Path)
	require.EqualValues(t, 2, e.InputFiles[1].Size)

	for name, body := range map[string]string{
		"outside":       `{"input":"x","files":[{"path":"../../etc/passwd","content":"x"}]}`,
		"not base64":    `{"input":"x","files":[{"path":"a","content":"!","encoding":"base64"}]}`,
		"an encoding":   `{"input":"x","files":[{"path":"a","content":"x","encoding":"rot13"}]}`,
		"101 files":     `{"input":"x","files":[` + strings.Repeat(`{"path":"a","content":""},`, 100) + `{"path":"b","content":""}]}`,
		"unknown field": `{"input":"x","files":[{"path":"a","content":"x","mode":511}]}`,
		"null":          `{"input":"x","files":[null]}`,
	} {
		got := a.do(http.MethodPost, "/agents/"+agent.Id+"/run", jsonType, []byte(body))
		require.Equal(t, http.StatusBadRequest, got.StatusCode, "%s: %s", name, got.body)
	}
	large := a.do(http.MethodPost, "/agents/"+agent.Id+"/run", jsonType, []byte(`{"input":"x","files":[{"path":"a","content":"`+strings.Repeat("x", execution.MaxInputFilesBytes)+`"}]}`))
	require.Equal(t, http.StatusRequestEntityTooLarge, large.StatusCode, "%s", large.body)
}

// A result of 5 MB is available as a whole, from a run and from a batch. The
// execution contains its first part.
func TestLargeResult(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := start(t, withFileRuntimes(t), withBlobDir(dir))
	agent := a.createAgent(contract.CreateAgent{Name: "L", Instructions: "write", Runtime: "large"})
	e := a.awaitExecution(a.runAgent(agent.Id, "go").ExecutionId)
	require.Equal(t, contract.StatusSucceeded, e.Status, e.Error.Message)
	require.True(t, e.Result.Truncated)
	require.Len(t, e.Result.Text, execution.ExcerptBytes)
	require.Nil(t, e.Result.Output)

	got := a.do(http.MethodGet, e.Result.Url, "", nil)
	require.Equal(t, http.StatusOK, got.StatusCode)
	require.Equal(t, e.Result.Size, int64(len(got.body)))
	var complete struct {
		Text   string
		Output struct{ Long string }
	}
	got.decode(t, &complete)
	require.Equal(t, strings.Repeat("x", 5_000_000), complete.Output.Long)
	require.True(t, strings.HasPrefix(complete.Text, e.Result.Text))
	require.Equal(t, http.StatusNotFound, a.asTenant("eve").do(http.MethodGet, e.Result.Url, "", nil).StatusCode)

	line := a.results(a.awaitBatch(a.submitBatch(agent.Id, `"one"`)), "")[0]
	require.True(t, line.Result.Truncated)
	require.Equal(t, http.StatusOK, a.do(http.MethodGet, line.Result.Url, "", nil).StatusCode)

	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			err = os.Remove(path)
		}
		return err
	}))
	lost := a.do(http.MethodGet, e.Result.Url, "", nil)
	require.Equal(t, http.StatusGone, lost.StatusCode)
	require.Contains(t, string(lost.body), `"artifact_lost"`)
	require.Equal(t, contract.StatusSucceeded, a.getExecution(e.Id).Status, "the execution does not change")
}

// A small result is available at the same URL.
func TestSmallResultContent(t *testing.T) {
	t.Parallel()
	a := start(t)
	agent := a.createAgent(contract.CreateAgent{Name: "U", Instructions: "Convert the input to upper case", Runtime: "offline"})
	e := a.awaitExecution(a.runAgent(agent.Id, "hello").ExecutionId)
	var r contract.Result
	a.get(e.Urls.Result, &r)
	require.Equal(t, "HELLO", r.Text)
	require.False(t, r.Truncated)
}
