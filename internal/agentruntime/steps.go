package agentruntime

import (
	"bytes"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// maxLineSize is the length of the longest line from which steps are reported, in bytes. Longer lines are skipped here;
// the result is parsed later, from the complete output.
const maxLineSize = 256 << 10

// OnStep registers a function that is called for each step of the agent while the job runs. Call it before the job
// starts. One goroutine at a time calls onStep, which must not block.
func (r *Run) OnStep(onStep func(kind execution.StepKind, text string)) {
	lines := lineSplitter{onLine: func(line []byte) { r.contract.reportSteps(line, onStep) }}
	r.Job.OnStdout = lines.write
}

// lineSplitter finds the lines in an output that arrives in chunks.
type lineSplitter struct {
	onLine  func([]byte)
	partial []byte // the beginning of the line that is not complete yet
	tooLong bool
}

func (l *lineSplitter) write(part []byte) {
	for {
		line, rest, ended := bytes.Cut(part, []byte("\n"))
		if l.tooLong = l.tooLong || len(l.partial)+len(line) > maxLineSize; l.tooLong {
			l.partial = nil
		} else {
			l.partial = append(l.partial, line...)
		}
		if !ended {
			return
		}
		if !l.tooLong && len(l.partial) > 0 {
			l.onLine(l.partial)
		}
		l.partial, l.tooLong = l.partial[:0], false
		part = rest
	}
}

func (streamJSON) reportSteps(line []byte, onStep func(execution.StepKind, string)) {
	streamjson.ParseSteps(line, onStep)
}

func (command) reportSteps(line []byte, onStep func(execution.StepKind, string)) {
	onStep(execution.StepOutput, string(line))
}
