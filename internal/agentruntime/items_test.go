package agentruntime

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
	"github.com/airlock-run/airlock/internal/sandbox"
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

func TestItemsOfContracts(t *testing.T) {
	var got []transcript.Item
	onItem := func(i transcript.Item) { got = append(got, i) }
	r := &Run{contract: streamJSON{}}
	r.OnItem(onItem)
	r.Job.OnStdout([]byte(`{"type":"assistant","message":{"content":[{"type":"text","text":"I look."}]}}
{"type":"assistant","parent_tool_use_id":"toolu_1","message":{"content":[{"type":"text","text":"I help."}]}}
{"type":"result","result":"done"}
`))
	r.Job.OnStdout(bytes.Repeat([]byte("x"), maxItemLine+1))
	require.Equal(t, "I look.", r.PartialText(), "a sub-agent does not speak to the user")
	r.Job.OnStdout([]byte(`
{"type":"stream_event","event":{"type":"content_block_start","content_block":{"type":"text","text":""}}}
{"type":"stream_event","event":{"type":"content_block_delta","delta":{"type":"text_delta","text":"I wri"}}}
`))
	_, _ = r.ParseOutcome(sandbox.Outcome{EndReason: sandbox.Stopped})
	require.Equal(t, "I look.\nI wri", r.PartialText(), "what the agent was saying when it was ended")

	r = &Run{contract: command{}}
	r.OnItem(onItem)
	r.Job.OnStdout([]byte("plain\ntext\nunfinished"))
	_, _ = r.ParseOutcome(sandbox.Outcome{EndReason: sandbox.Stopped})
	require.Equal(t, "plain\ntext\nunfinished", r.PartialText())
	require.Equal(t, []transcript.Item{
		{Kind: transcript.KindText, Text: "I look."}, {Kind: transcript.KindText, Parent: "toolu_1", Text: "I help."},
		{Kind: transcript.KindNotice, Text: "A line of more than 8 MiB was not read."},
		{Kind: transcript.KindText, Text: "I wri", Truncated: true},
		{Kind: transcript.KindOutput, Text: "plain"}, {Kind: transcript.KindOutput, Text: "text"}, {Kind: transcript.KindOutput, Text: "unfinished"},
	}, got)
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
