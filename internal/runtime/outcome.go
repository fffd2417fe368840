package runtime

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/execution"
	"github.com/airlock-run/airlock/internal/runtime/streamjson"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// Read makes of an outcome either a result or a failure, never both and never
// neither. Success is: the agent exited with 0, after exactly one final result,
// without an error and with at least one turn; no single sign of it is enough.
// A task with a schema may still end with an answer in words only, because the
// CLI may; what such an answer is worth is for the asker to say.
func (r *Run) Read(o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	if failure := endedEarly(o, r.Job); failure != nil {
		return nil, failure
	}
	if s := r.summary(); s.BudgetExceeded != "" {
		return nil, failed(execution.CodeBudgetExceeded, "the execution spent its budget: %s", s.BudgetExceeded)
	}
	result, err := streamjson.Parse(o.Stdout)
	switch {
	case err != nil && o.Truncated:
		return nil, failed(execution.CodeOutputLimit, "the agent wrote more than %d bytes", len(o.Stdout))
	case err != nil && o.ExitCode != 0:
		return nil, failed(execution.CodeAgentError, "the agent ended with exit code %d%s", o.ExitCode, said(o.Stderr))
	case err != nil:
		return nil, failed(execution.CodeInvalidResult, "the agent's result cannot be read: %v", err)
	}
	if failure := r.notSuccess(result, o); failure != nil {
		return nil, failure
	}
	return &execution.Result{Text: result.Text, Output: string(result.Structured)}, nil
}

func endedEarly(o sandbox.Outcome, job sandbox.Job) *execution.Failure {
	switch o.Ended {
	case sandbox.TimedOut:
		return failed(execution.CodeTimedOut, "the job ran longer than %s", job.Timeout)
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

func (r *Run) notSuccess(result streamjson.Result, o sandbox.Outcome) *execution.Failure {
	switch {
	case result.StopReason == "refusal": // the CLI counts it as an error without a status
		return failed(execution.CodeModelError, "the model declined to answer")
	case result.IsError && r.refusedByModel(result):
		return r.modelFailure(result)
	case result.Subtype == "error_max_turns":
		return failed(execution.CodeAgentError, "the agent did not finish within its turns")
	case result.IsError || strings.HasPrefix(result.Subtype, "error"):
		return failed(execution.CodeAgentError, "the agent reported an error: %s", excerpt(describe(result)))
	case o.ExitCode != 0:
		return failed(execution.CodeAgentError, "the agent ended with exit code %d%s", o.ExitCode, said(o.Stderr))
	case result.NumTurns < 1:
		return failed(execution.CodeInvalidResult, "the agent ended well without asking its model anything")
	case r.structured && len(result.Structured) > 0 && !isObject(string(result.Structured)):
		return failed(execution.CodeInvalidResult, "the agent's structured answer is not a JSON object")
	case strings.TrimSpace(result.Text) == "" && len(result.Structured) == 0:
		return failed(execution.CodeInvalidResult, "the agent ended well without an answer")
	default:
		return nil
	}
}

func describe(r streamjson.Result) string {
	if r.Text != "" {
		return r.Text
	}
	return r.Subtype
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
