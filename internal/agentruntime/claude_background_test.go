package agentruntime_test

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
	"github.com/airlock-run/airlock/internal/test/modelstub"
)

// The CLI runs commands and sub-agents in the background. It prints lines and further results after its first result,
// and waits for what does not end.

func TestClaudeBackgroundCommand(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		command string
		want    sandbox.EndReason
	}{
		"ends before the answer": {"true", sandbox.Exited},
		"ends during the answer": {"until [ -e /tmp/answering ]; do sleep 0.02; done", sandbox.Exited},
		"ends after the answer":  {"sleep 3", sandbox.Exited},
		"never ends":             {"python3 -m http.server 8080", sandbox.Settled},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
				switch {
				case len(r.Messages) == 1:
					return modelstub.ToolUse("Bash", map[string]any{"command": c.command, "description": "work", "run_in_background": true})
				case strings.Contains(string(r.Raw), "touch /tmp/answering"), !strings.Contains(name, "during"):
					return modelstub.Text("the answer")
				default:
					return modelstub.ToolUse("Bash", map[string]any{"command": "touch /tmp/answering", "description": "go on"})
				}
			})
			h.settleTime = 6 * time.Second
			run, outcome := h.execute(execution.Task{Input: "work in the background"})
			require.Equal(t, c.want, outcome.EndReason)
			result, failure := run.ParseOutcome(outcome)
			require.Nil(t, failure)
			require.Equal(t, "the answer", result.Text)
		})
	}
}

func TestClaudeBackgroundAgents(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 3} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
				asked := strings.Count(string(r.Raw), `"run_in_background":true`)
				switch {
				case strings.Contains(r.Messages[0].Text, "look for the needle"):
					return modelstub.Text("found it")
				case asked < n:
					return modelstub.ToolUse("Agent", map[string]any{
						"description": "search", "prompt": fmt.Sprint("look for the needle, number ", asked), "subagent_type": "Explore", "run_in_background": true,
					})
				default:
					return modelstub.Text(fmt.Sprintf("found %d needles", min(n, strings.Count(string(r.Raw), "found it"))))
				}
			})
			_, result := h.mustRun(execution.Task{Input: "search"})
			require.Equal(t, fmt.Sprintf("found %d needles", n), result.Text, "the last result is the one that knows all")
		})
	}
}

// The CLI prints the result of each tool two times. That is far more than what is kept of its output.
func TestClaudeReadsMuch(t *testing.T) {
	t.Parallel()
	var picture bytes.Buffer
	noise := image.NewNRGBA(image.Rect(0, 0, 400, 400))
	_, _ = rand.Read(noise.Pix)
	require.NoError(t, png.Encode(&picture, noise))
	for name, c := range map[string]struct {
		file sandbox.File
		n    int
	}{
		"thirty texts": {sandbox.File{Path: "text", Data: []byte(strings.Repeat(strings.Repeat("x", 89)+"\n", 1<<10))}, 30},
		"six pictures": {sandbox.File{Path: "picture.png", Data: picture.Bytes()}, 6},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newClaudeHarness(t, func(r modelstub.Request) modelstub.Response {
				if strings.Count(string(r.Raw), `"tool_result"`) == c.n {
					return modelstub.Text("read it all")
				}
				return modelstub.ToolUse("Read", map[string]any{"file_path": "/workspace/" + c.file.Path, "offset": 1 + strings.Count(string(r.Raw), `"tool_result"`)})
			})
			run, outcome := h.execute(execution.Task{Input: "read", InputFiles: []execution.InputFile{{
				Path: c.file.Path, Data: c.file.Data,
			}}})
			result, failure := run.ParseOutcome(outcome)
			require.Nil(t, failure)
			require.Equal(t, "read it all", result.Text)
		})
	}
}
