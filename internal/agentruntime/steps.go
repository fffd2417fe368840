package agentruntime

import (
	"bytes"
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// maxStepLine is the length of the longest line from which steps are reported, in bytes. Longer lines are skipped here.
const maxStepLine = 256 << 10

// OnStep registers a function that is called for each step of the agent while the job runs, and when it waits for its
// model. Call it before the job starts. onStep must be safe for concurrent use and must not block.
func (r *Run) OnStep(onStep func(kind execution.StepKind, text string)) {
	if r.egress != nil {
		r.egress.OnWait(func(status int, delay time.Duration) { onStep(execution.StepProgress, waitMessage(status, delay)) })
	}
	lines := lineSplitter{limit: maxStepLine, onLine: func(line []byte, complete bool) {
		if !complete {
			return
		}
		r.contract.reportSteps(line, func(kind execution.StepKind, text string) {
			if kind == execution.StepOutput {
				r.said.add(text)
			}
			onStep(kind, text)
		})
	}}
	r.Job.OnStdout = lines.write
}

// PartialText returns what the agent had said when its job ended, one part after another: at most
// execution.MaxPartialText bytes, the newest. OnStep must have been called, and the job must have ended.
func (r *Run) PartialText() string { return r.said.text() }

// newestText stores the newest part of a text, execution.MaxPartialText bytes at most.
type newestText struct{ stored string }

func (t *newestText) add(part string) {
	if t.stored != "" {
		part = t.stored + "\n" + part
	}
	for len(part) > execution.MaxPartialText {
		_, size := utf8.DecodeRuneInString(part[len(part)-execution.MaxPartialText-1:])
		part = part[len(part)-execution.MaxPartialText-1+size:]
	}
	t.stored = part
}

func (t *newestText) text() string { return t.stored }

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

func (streamJSON) reportSteps(line []byte, onStep func(execution.StepKind, string)) {
	streamjson.ParseSteps(line, onStep)
}

func (command) reportSteps(line []byte, onStep func(execution.StepKind, string)) {
	onStep(execution.StepOutput, string(line))
}
