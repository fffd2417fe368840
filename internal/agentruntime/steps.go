package agentruntime

import (
	"bytes"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// longestLine is how long a line may be that is looked at while the agent runs,
// in bytes. What is longer is passed over: the result is read from the whole.
const maxLineSize = 256 << 10

// Watch has seen called with what the agent does, while it does it. It is
// called by one goroutine at a time and must not block.
func (r *Run) OnStep(onStep func(kind execution.StepKind, text string)) {
	lines := lineSplitter{onLine: func(line []byte) { r.contract.reportSteps(line, onStep) }}
	r.Job.OnStdout = lines.write
}

// lineReader finds the lines in an output that comes in parts.
type lineSplitter struct {
	onLine  func([]byte)
	partial []byte // of the line that has not ended
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
