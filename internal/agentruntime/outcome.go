package agentruntime

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Read makes of an outcome either a result or a failure, never both and never
// neither. What ended the job counts for more than what the agent says.
func (r *Run) Read(o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	if failure := endedEarly(o, r.Job); failure != nil {
		return nil, failure
	}
	if s := r.Egress(); s.BudgetExceeded != "" {
		return nil, failed(execution.CodeBudgetExceeded, "the execution spent its budget: %s", s.BudgetExceeded)
	}
	return r.contract.read(r, o)
}

func endedEarly(o sandbox.Outcome, job sandbox.Job) *execution.Failure {
	switch o.Ended {
	case sandbox.TimedOut:
		return failed(execution.CodeTimedOut, "the job ran longer than %s", job.Timeout)
	case sandbox.NoOutput:
		return failed(execution.CodeTimedOut, "the job wrote nothing for %s", job.Quiet.Round(time.Second))
	case sandbox.OutOfMemory:
		limit := job.Limits.Memory
		if limit == 0 {
			limit = sandbox.DefaultLimits.Memory
		}
		return failed(execution.CodeOutOfMemory, "the job used more than its %d MiB of memory", limit>>20)
	case sandbox.OutputLimit:
		return failed(execution.CodeOutputLimit, "the job wrote more output than it may")
	default:
		return nil
	}
}

// The failures that every contract has.

func tooMuchOutput(o sandbox.Outcome) *execution.Failure {
	return failed(execution.CodeOutputLimit, "the agent wrote more than %d bytes", len(o.Stdout))
}

func badExit(o sandbox.Outcome) *execution.Failure {
	return failed(execution.CodeAgentError, "the agent ended with exit code %d%s", o.ExitCode, said(o.Stderr))
}

func noAnswer() *execution.Failure {
	return failed(execution.CodeInvalidResult, "the agent ended well without an answer")
}

// said quotes the end of what the agent wrote to standard error, which is where
// programs say why they end.
func said(stderr []byte) string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(stderr), "�"))
	if text == "" {
		return ""
	}
	lines := strings.Split(text, "\n")
	return ": " + excerpt(lines[len(lines)-1])
}

const longestExcerpt = 500 // bytes of an agent's own words in a failure

func excerpt(text string) string {
	text = strings.TrimSpace(strings.ReplaceAll(text, "\x00", ""))
	if len(text) <= longestExcerpt {
		return text
	}
	end := longestExcerpt
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func failed(code execution.Code, format string, args ...any) *execution.Failure {
	return &execution.Failure{Code: code, Message: fmt.Sprintf(format, args...)}
}
