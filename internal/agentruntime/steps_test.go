package agentruntime

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The lines do not depend on how the output is split into chunks.
func TestLineSplitterAnyChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		output := rapid.StringOf(rapid.SampledFrom([]rune("ab\n"))).Draw(t, "output")
		var got []string
		l := lineSplitter{onLine: func(line []byte) { got = append(got, string(line)) }}
		for rest := output; rest != ""; {
			n := rapid.IntRange(1, len(rest)).Draw(t, "chunk size")
			l.write([]byte(rest[:n]))
			rest = rest[n:]
		}
		var want []string
		complete := output[:strings.LastIndexByte(output, '\n')+1]
		for line := range strings.SplitSeq(complete, "\n") {
			if line != "" {
				want = append(want, line)
			}
		}
		require.Equal(t, want, got)
	})
}

func TestLineSplitterSkipsLongLine(t *testing.T) {
	var got []string
	l := lineSplitter{onLine: func(line []byte) { got = append(got, string(line)) }}
	chunk := []byte(strings.Repeat("x", 64<<10))
	for range 100 {
		l.write(chunk)
		require.LessOrEqual(t, cap(l.partial), 2*maxLineSize, "memory is bounded")
	}
	l.write([]byte("\nnext\n"))
	require.Equal(t, []string{"next"}, got)
}

func TestReportSteps(t *testing.T) {
	var got []string
	onStep := func(kind execution.StepKind, text string) { got = append(got, string(kind)+": "+text) }
	r := &Run{contract: streamJSON{}}
	r.OnStep(onStep)
	r.Job.OnStdout([]byte(`{"type":"system","subtype":"init"}
{"type":"assistant","message":{"content":[{"type":"text","text":"I look."},{"type":"tool_use","name":"Bash","input":{"command":"ls"}}]}}
{"type":"user","message":{"content":[{"type":"tool_result","content":"x"}]}}
{"type":"user","message":{"content":"only text"}}
rubbish
{"type":"assistant","message":7}
{"type":"system","subtype":"api_retry","attempt":2}
{"type":"result","result":"done"}
`))
	r = &Run{contract: command{}}
	r.OnStep(onStep)
	r.Job.OnStdout([]byte("plain\ntext\nunfinished"))
	require.Equal(t, []string{"output: I look.", "progress: uses Bash", "progress: retries the model request (attempt 2)", "output: plain", "output: text"}, got)
}
