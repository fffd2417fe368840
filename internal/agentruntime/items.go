package agentruntime

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/transcript"
)

// maxItemLine is the length of the longest line from which items are read, in bytes: the result of a tool may be a
// picture, and the CLI prints it two times in one line.
const maxItemLine = 8 << 20

// OnItem registers a function that is called for each thing that the agent says or does while the job runs, and when it
// waits for its model; the items have no number, attempt and time. Call it before the job starts. onItem must be safe
// for concurrent use and must not block.
func (r *Run) OnItem(onItem func(transcript.Item)) {
	if r.egress != nil {
		r.egress.OnWait(func(status int, delay time.Duration) {
			onItem(transcript.Item{Kind: transcript.KindRetry, Text: waitMessage(status, delay)})
		})
	}
	report := func(i transcript.Item) {
		if i.Kind == transcript.KindText && i.Parent == "" || i.Kind == transcript.KindOutput {
			r.said.add(i.Text)
			r.unfinished.Reset()
		}
		onItem(i)
	}
	r.reportUnfinished = func() {
		if text := r.unfinished.String(); text != "" {
			report(transcript.Item{Kind: transcript.KindText, Text: text, Truncated: true})
		}
	}
	r.lines = lineSplitter{limit: maxItemLine, onLine: func(line []byte, complete bool) {
		if !complete {
			report(transcript.Item{Kind: transcript.KindNotice, Text: fmt.Sprintf("A line of more than %d MiB was not read.", maxItemLine>>20)})
			return
		}
		r.contract.reportItems(line, report)
		r.contract.reportSaying(line, r.saying)
	}}
	r.Job.OnStdout = r.lines.write
}

// OnSaying registers a function that is called for each part of a text that the agent is saying, as its model writes
// it. begins means that a new text begins with the part. Call it before the job starts.
func (r *Run) OnSaying(onSaying func(part string, begins bool)) { r.onSaying = onSaying }

// saying handles a part of a text that the agent is saying.
func (r *Run) saying(part string, begins bool) {
	if begins {
		r.unfinished.Reset()
	}
	r.unfinished.WriteString(execution.TruncateText(part, transcript.MaxFieldBytes-r.unfinished.Len()))
	if r.onSaying != nil {
		r.onSaying(part, begins)
	}
}

// PartialText returns what the agent had said when its job ended, one part after another: at most
// execution.MaxPartialText bytes, the newest. OnItem must have been called, and the job must have ended.
func (r *Run) PartialText() string { return r.said.text() }

// newestText stores the newest part of a text, execution.MaxPartialText bytes at most.
type newestText struct{ stored []byte }

func (t *newestText) add(part string) {
	if len(t.stored) > 0 {
		t.stored = append(t.stored, '\n')
	}
	t.stored = append(t.stored, part...)
	if over := len(t.stored) - execution.MaxPartialText; over > execution.MaxPartialText { // not at each part
		t.stored = append(t.stored[:0], t.stored[over:]...)
	}
}

func (t *newestText) text() string {
	newest := t.stored[max(0, len(t.stored)-execution.MaxPartialText):]
	if len(newest) < len(t.stored) {
		for len(newest) > 0 && !utf8.RuneStart(newest[0]) {
			newest = newest[1:]
		}
	}
	return strings.ToValidUTF8(string(newest), "\uFFFD")
}

// lineSplitter finds the lines in an output that arrives in chunks.
type lineSplitter struct {
	limit int // bytes of a line that are stored
	// onLine receives each line that is not empty, without its end. A line that is longer than limit is cut, and not
	// complete. The line is valid until onLine returns.
	onLine  func(line []byte, complete bool)
	partial []byte // the beginning of the line that is not complete yet
	tooLong bool
}

func (l *lineSplitter) write(part []byte) {
	for {
		line, rest, ended := bytes.Cut(part, []byte("\n"))
		fits := min(len(line), l.limit-len(l.partial))
		l.partial = append(l.partial, line[:fits]...)
		l.tooLong = l.tooLong || fits < len(line)
		if !ended {
			return
		}
		l.end()
		part = rest
	}
}

// end ends the line that is not complete yet.
func (l *lineSplitter) end() {
	if len(l.partial) > 0 {
		l.onLine(l.partial, !l.tooLong)
	}
	l.partial, l.tooLong = l.partial[:0], false
}

func (streamJSON) reportItems(line []byte, onItem func(transcript.Item)) {
	streamjson.ParseItems(line, onItem)
}

func (command) reportItems(line []byte, onItem func(transcript.Item)) {
	onItem(transcript.Item{Kind: transcript.KindOutput, Text: string(line)})
}

func (streamJSON) reportSaying(line []byte, onSaying func(part string, begins bool)) {
	streamjson.ParseSaying(line, onSaying)
}

func (command) reportSaying([]byte, func(string, bool)) {}
