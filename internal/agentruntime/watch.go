package agentruntime

import (
	"bytes"

	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// longestLine is how long a line may be that is looked at while the agent runs,
// in bytes. What is longer is passed over: the result is read from the whole.
const longestLine = 256 << 10

// Watch has seen called with what the agent does, while it does it. It is
// called by one goroutine at a time and must not block.
func (r *Run) Watch(seen func(kind execution.StepKind, text string)) {
	lines := lineReader{line: func(line []byte) { r.contract.show(line, seen) }}
	r.Job.Heard = lines.hear
}

// lineReader finds the lines in an output that comes in parts.
type lineReader struct {
	line    func([]byte)
	begun   []byte // of the line that has not ended
	tooLong bool
}

func (l *lineReader) hear(part []byte) {
	for {
		head, rest, ended := bytes.Cut(part, []byte("\n"))
		if l.tooLong = l.tooLong || len(l.begun)+len(head) > longestLine; l.tooLong {
			l.begun = nil
		} else {
			l.begun = append(l.begun, head...)
		}
		if !ended {
			return
		}
		if !l.tooLong && len(l.begun) > 0 {
			l.line(l.begun)
		}
		l.begun, l.tooLong = l.begun[:0], false
		part = rest
	}
}

func (streamJSON) show(line []byte, seen func(execution.StepKind, string)) {
	streamjson.Steps(line, seen)
}

func (command) show(line []byte, seen func(execution.StepKind, string)) {
	seen(execution.StepOutput, string(line))
}
