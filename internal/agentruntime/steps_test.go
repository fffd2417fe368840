package agentruntime

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The lines do not depend on how the output is split into chunks.
func TestLineSplitterAnyChunks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		output := rapid.StringOf(rapid.SampledFrom([]rune("ab\n"))).Draw(t, "output")
		var got []string
		l := lineSplitter{limit: 100, onLine: func(line []byte, _ bool) { got = append(got, string(line)) }}
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

func TestLineSplitterCutsLongLine(t *testing.T) {
	const limit = 10 << 10
	var got []string
	l := lineSplitter{limit: limit, onLine: func(line []byte, complete bool) {
		got = append(got, string(line))
		require.Equal(t, len(line) < limit, complete)
	}}
	chunk := []byte(strings.Repeat("x", 64<<10))
	for range 100 {
		l.write(chunk)
		require.LessOrEqual(t, cap(l.partial), 2*limit, "memory is bounded")
	}
	l.write([]byte("\nnext\n"))
	require.Equal(t, []string{strings.Repeat("x", limit), "next"}, got)
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

func TestPartialTextIsTheNewest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var said newestText
		parts := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom([]rune("a한\n")), 0, 30_000, -1), 0, 6).Draw(t, "parts")
		var spoken []string
		for _, part := range parts {
			said.add(part)
			if part != "" || len(spoken) > 0 {
				spoken = append(spoken, part)
			}
		}
		all := strings.Join(spoken, "\n")
		require.True(t, strings.HasSuffix(all, said.text()))
		require.True(t, utf8.ValidString(said.text()))
		require.LessOrEqual(t, len(said.text()), execution.MaxPartialText)
		require.GreaterOrEqual(t, len(said.text()), min(len(all), execution.MaxPartialText-3))
	})
}
