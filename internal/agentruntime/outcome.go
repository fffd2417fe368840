package agentruntime

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// ParseOutcome returns either a result or a failure, and never both. The reason why the sandbox ended the job has
// priority over what the agent reports.
func (r *Run) ParseOutcome(o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	if r.lines.onLine != nil {
		r.lines.end()
		r.reportUnfinished()
	}
	if failure := sandboxFailure(o, r.Job); failure != nil {
		return nil, failure
	}
	if s := r.Egress(); s.BudgetExceeded != "" {
		return nil, newFailure(execution.CodeBudgetExceeded, "the execution exceeded its budget: %s", s.BudgetExceeded)
	}
	result, failure := r.contract.parseResult(r, o)
	if failure == nil {
		if failure = r.checkAnswer(result); failure != nil {
			return nil, failure
		}
	}
	if failure != nil && o.OOMKills > 0 { // a lost child explains the missing result best
		return nil, outOfMemoryFailure(r.Job)
	}
	return result, failure
}

func sandboxFailure(o sandbox.Outcome, job sandbox.Job) *execution.Failure {
	switch o.EndReason {
	case sandbox.TimedOut:
		return newFailure(execution.CodeTimedOut, "the job ran longer than %s%s", job.Timeout, waitedNote(job))
	case sandbox.NoOutput:
		return newFailure(execution.CodeTimedOut, "the job wrote nothing for %s", job.IdleTimeout.Round(time.Second))
	case sandbox.OutOfMemory:
		return outOfMemoryFailure(job)
	case sandbox.Tampered:
		return newFailure(execution.CodeAgentError, "the job ended or disturbed the first process of its sandbox, which reports the result")
	case sandbox.OutputLimit:
		limit := cmp.Or(job.Limits.Written, sandbox.DefaultLimits.Written)
		return newFailure(execution.CodeOutputLimit, "the job wrote more than %d MiB of output, or faster than it could be read", limit>>20)
	case sandbox.Stopped:
		return execution.NewCanceledFailure()
	default:
		return nil
	}
}

// waitedNote says how long a job waited for its model, if it did. That is not part of its time.
func waitedNote(job sandbox.Job) string {
	if job.Egress == nil || job.Egress.Waited() < time.Second {
		return ""
	}
	return ", without the " + roundUp(job.Egress.Waited()).String() + " in which it waited for its model"
}

func outOfMemoryFailure(job sandbox.Job) *execution.Failure {
	limit := cmp.Or(job.Limits.Memory, sandbox.DefaultLimits.Memory)
	return newFailure(execution.CodeOutOfMemory, "the job used more than its limit of %d MiB of memory", limit>>20)
}

// Failures that all contracts share.

func outputLimitFailure(job sandbox.Job) *execution.Failure {
	return newFailure(execution.CodeOutputLimit, "the agent's result has more than %d bytes", cmp.Or(job.Limits.Output, sandbox.DefaultLimits.Output))
}

func exitCodeFailure(o sandbox.Outcome) *execution.Failure {
	return newFailure(execution.CodeAgentError, "the agent exited with code %d%s", o.ExitCode, stderrExcerpt(o.Stderr))
}

func emptyResultFailure() *execution.Failure {
	return newFailure(execution.CodeInvalidResult, "the agent reported success without an answer")
}

// stderrExcerpt quotes the lines of standard error that say best why the agent exited: the first and the last one that
// look like errors, and the last one of all.
func stderrExcerpt(stderr []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(stderr), "�"))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	quoted := []int{len(lines) - 1}
	isError := func(line string) bool { return errorLine.MatchString(line) }
	if first := slices.IndexFunc(lines, isError); first >= 0 {
		last := len(lines) - 1
		for !isError(lines[last]) {
			last--
		}
		quoted = slices.Compact([]int{first, last, len(lines) - 1})
	}
	var b strings.Builder
	b.WriteString(": ")
	for i, n := range quoted {
		switch {
		case i > 0 && n > quoted[i-1]+1:
			b.WriteString(" … ")
		case i > 0:
			b.WriteString(" | ")
		}
		b.WriteString(excerpt(lines[n]))
	}
	return b.String()
}

// errorLine matches a line that looks like an error.
var errorLine = regexp.MustCompile(`(?i)\b(error|exception|fatal|panic|traceback|failed|failure|cannot|could not|denied|not found|no such|killed)\b|[a-z](Error|Exception)\b`)

const maxExcerptSize = 500 // bytes of an agent's own text in a failure

func excerpt(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\x00", ""))
	if len(text) <= maxExcerptSize {
		return text
	}
	return execution.TruncateText(text, maxExcerptSize) + "…"
}

func newFailure(code execution.Code, format string, args ...any) *execution.Failure {
	return &execution.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}
