package agentruntime

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// streamJSON is the contract of the Claude Code CLI, which the offline agent also implements.
type streamJSON struct{}

// maxSchemaSize bounds the schema, in bytes.
const maxSchemaSize = 96 << 10

// prepareJob starts every agent of a runtime in the same way, for its default model, as far as the job allows that: so
// it can have been started before the job was known. The model, the instructions and the schema come with the input.
func (streamJSON) prepareJob(r *Run, e *execution.Execution) *execution.Failure {
	t := e.Task
	launch, err := newLaunch(r.entry.Command(r.entry.DefaultModel()), r.entry.MaxTurns, t.Settings)
	if err != nil {
		return newFailure(execution.CodeInvalidTask, "the agent's settings cannot be passed to the agent: %v", err)
	}
	r.maxTurns = launch.maxTurns
	sessionFile, failure := r.buildSessionFile(t)
	if failure != nil {
		return failure
	}
	defaultModel := r.entry.DefaultModel()
	r.Job.Argv = slices.Concat(launch.argv, []string{
		"--print", "--input-format", "stream-json", "--output-format", "stream-json", "--verbose", "--include-partial-messages",
		"--model", cmp.Or(defaultModel, "none"),
	}, launch.args)
	r.Job.Env = append(r.entry.Environment(defaultModel), launch.env...)
	r.Job.Ahead.Files = launch.files
	r.Job.Collect = []string{sessionPath}
	r.collectsSession = true
	if sessionFile != nil {
		r.sessionFile = sessionFile
		r.Job.Ahead.Files = append(r.Job.Ahead.Files, sandbox.File{Path: sessionPath, Mode: 0o600, Data: sessionFile})
		r.Job.Argv = append(r.Job.Argv, "--resume", sessionID.String())
	} else {
		r.Job.Argv = append(r.Job.Argv, "--session-id", sessionID.String())
	}

	input := streamjson.Input{Instructions: t.Instructions, Schema: schemaOf(t), Prompt: t.Input}
	if r.Model != defaultModel {
		input.Model, input.ModelEnv = r.Model, r.entry.ModelVariables(r.Model)
	}
	if input.Schema != "" && (len(input.Schema) > maxSchemaSize || !isObject(input.Schema)) {
		return newFailure(execution.CodeInvalidTask, "the schema must be a JSON object of at most %d bytes", maxSchemaSize)
	}
	if r.Job.Stdin, err = input.Encode(); err != nil {
		return newFailure(execution.CodeInvalidTask, "the task cannot be passed to the agent: %v", err)
	}
	r.Job.SettleTime = time.Duration(cmp.Or(r.entry.SettleTime, catalog.Duration(catalog.DefaultSettleTime)))
	r.Job.Keep = newResultKeeper(cmp.Or(r.Job.Limits.Output, sandbox.DefaultLimits.Output))
	return nil
}

// parseResult requires all signs of success, because no single one is reliable: exit code 0, a last result without an
// error, and at least one turn. A task with a schema may succeed with text only, because the CLI may do that; the
// caller of the API decides whether the text is enough.
func (streamJSON) parseResult(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	result, err := streamjson.Parse(o.Stdout)
	switch {
	case err != nil && o.Truncated:
		return nil, outputLimitFailure(r.Job)
	case err != nil && exitedWithError(o):
		return nil, exitCodeFailure(o)
	case err != nil:
		return nil, newFailure(execution.CodeInvalidResult, "the agent's result cannot be read: %v", err)
	}
	if failure := r.checkSuccess(result, o); failure != nil {
		return nil, failure
	}
	return &execution.Result{Text: result.Text, Output: string(result.Structured)}, nil
}

func (r *Run) checkSuccess(result streamjson.Result, o sandbox.Outcome) *execution.Failure {
	switch {
	case result.StopReason == "refusal": // the CLI counts it as an error without a status
		return newFailure(execution.CodeModelError, "the model declined to answer")
	case result.IsError && (result.APIErrorStatus != 0 || r.Egress().LastCallFailed()):
		return r.modelFailure(result.APIErrorStatus, result.Text)
	case result.Subtype == "error_max_turns":
		return newFailure(execution.CodeAgentError, "the agent did not finish within its maximum of %d turns", r.maxTurns)
	case result.IsError || strings.HasPrefix(result.Subtype, "error"):
		return newFailure(execution.CodeAgentError, "the agent reported an error: %s", excerpt(errorText(result)))
	case exitedWithError(o):
		return exitCodeFailure(o)
	case result.NumTurns < 1:
		return newFailure(execution.CodeInvalidResult, "the agent reported success without a request to its model")
	case r.hasSchema && len(result.Structured) > 0 && !isObject(string(result.Structured)):
		return newFailure(execution.CodeInvalidResult, "the agent's structured answer is not a JSON object")
	case strings.TrimSpace(result.Text) == "" && len(result.Structured) == 0:
		return emptyResultFailure()
	default:
		return nil
	}
}

// exitedWithError reports whether the agent's exit code says that it failed. That of an agent which was ended after its
// result says nothing.
func exitedWithError(o sandbox.Outcome) bool { return o.EndReason == sandbox.Exited && o.ExitCode != 0 }

func errorText(r streamjson.Result) string {
	if r.Text != "" {
		return r.Text
	}
	return r.Subtype
}

func isObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}
