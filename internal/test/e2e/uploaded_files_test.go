package e2e

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/app/dev"
	"github.com/airlock-run/airlock/internal/domain/file"
)

const sumRuntime = `
runtimes:
  - name: sum
    image: airlock/sandbox-claude:dev
    contract: command
    conversation: {history: file}
    argv: [/bin/bash, -c, 'cat > /dev/null; sha256sum data/large* | cut -d" " -f1']
`

// A file of the largest size, uploaded from the command line, is read by a run, by each input of a batch and by a turn
// of a conversation, also if it is deleted when they are accepted. A retry has it, too.
func TestUploadedFileReachesEveryJob(t *testing.T) {
	t.Parallel()
	withSum := withRuntimes(t, sumRuntime)
	a := start(t, func(d *dev.Config) {
		withSum(d)
		d.API.DefaultRuntime = "sum"
	})
	content := make([]byte, file.MaxBytes)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content)
	digest := sha256.Sum256(content)
	sum := hex.EncodeToString(digest[:])
	local := filepath.Join(t.TempDir(), "large.bin")
	require.NoError(t, os.WriteFile(local, content, 0o600))

	agent := a.createAgent(contract.CreateAgent{Name: "S", Instructions: "sum", Runtime: "sum"})
	out, code := a.runCLI(t, nil, "files", "upload", local)
	require.Zero(t, code, out)
	fileID := strings.TrimSpace(out)
	files := []contract.InputFile{{Path: "data/large", FileId: fileID}}
	lines := strings.Repeat(`{"input":"x","files":[{"path":"data/large","fileId":"`+fileID+`"}]}`+"\n", 3)
	batch := a.submitBatch(agent.Id, lines)
	message := a.sendMessage(contract.SendMessage{AgentId: agent.Id, Message: "x", Files: files})
	canceled := a.submitRun(agent.Id, contract.RunAgent{Input: "x", Files: files})
	require.Equal(t, http.StatusAccepted, a.cancel(canceled.Urls.Cancel).StatusCode)
	out, code = a.runCLI(t, nil, "files", "delete", fileID)
	require.Zero(t, code, out)
	require.Equal(t, http.StatusNotFound, a.do(http.MethodGet, "/files/"+fileID, "", nil).StatusCode)
	got := a.do(http.MethodPost, "/agents/"+agent.Id+"/run", jsonType, []byte(`{"input":"x","files":[{"path":"a","fileId":"`+fileID+`"}]}`))
	require.Equal(t, http.StatusBadRequest, got.StatusCode, "new work cannot name it")

	a.awaitExecution(canceled.ExecutionId)
	var retry contract.AcceptedExecution
	a.post(canceled.Urls.Retry, nil, &retry)
	for _, executionID := range []string{retry.ExecutionId, message.ExecutionId} {
		e := a.awaitExecution(executionID)
		require.Equal(t, sum, strings.TrimSpace(e.Result.Text), e.Error.Message)
	}
	a.awaitBatch(batch)
	for _, result := range a.results(batch, "") {
		require.Equal(t, sum, strings.TrimSpace(result.Result.Text), result.Error.Message)
	}
	out, code = a.runCLI(t, nil, "run", "--agent", "S", "--wait", "--file", local+"=data/large-too", "x")
	require.Zero(t, code, out)
	require.Contains(t, out, sum)
	out, _ = a.runCLI(t, nil, "files", "list", "--json")
	require.Empty(t, strings.TrimSpace(out), "what was uploaded for one command is deleted")
}
