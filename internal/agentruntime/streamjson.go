package agentruntime

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/session"
	"github.com/airlock-run/airlock/internal/agentruntime/streamjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// streamJSON is the contract of the Claude Code CLI.
type streamJSON struct{}

// maxSchema bounds the one text that has to go on the command line. Linux
// takes 128 KiB for one argument.
const maxSchemaSize = 96 << 10

// call puts the schema on the command line, which has no other way in; it is
// valid JSON and one argument.
func (streamJSON) prepareJob(r *Run, e *execution.Execution) *execution.Failure {
	t := e.Task
	model := r.Model
	if model == "" {
		model = "none"
	}
	argv := slices.Concat(r.Job.Argv, []string{
		"--print", "--output-format", "stream-json", "--verbose", "--dangerously-skip-permissions",
		"--model", model, "--max-turns", strconv.Itoa(r.runtime.MaxTurns),
	})

	id := sessionID(e)
	r.sessionPath = session.Path(homeDir, id)
	r.Job.Collect = []string{r.sessionPath}
	sessionFile, failure := r.buildSessionFile(t, id)
	if failure != nil {
		return failure
	}
	if sessionFile != nil {
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: r.sessionPath, Mode: 0o600, Data: sessionFile})
		argv = append(argv, "--resume", id.String())
	} else {
		argv = append(argv, "--session-id", id.String())
	}
	if t.Instructions != "" {
		r.Job.Files = append(r.Job.Files, sandbox.File{Path: catalog.DefaultInstructionsPath, Mode: 0o600, Data: []byte(t.Instructions)})
		argv = append(argv, "--append-system-prompt-file", catalog.DefaultInstructionsPath)
	}
	if t.Schema != "" {
		if len(t.Schema) > maxSchemaSize || !isObject(t.Schema) {
			return newFailure(execution.CodeInvalidTask, "the schema must be a JSON object of at most %d bytes", maxSchemaSize)
		}
		argv = append(argv, "--json-schema="+t.Schema)
	}
	r.Job.Argv = argv
	r.Job.Stdin = []byte("\n" + t.Input) // the newline keeps a leading slash from being a command of the CLI
	return nil
}

// past is the file from which the agent resumes: the one that it left itself,
// or else one made of the conversation's messages. Nil: nothing was said before.
func (r *Run) buildSessionFile(t execution.Task, id uuid.UUID) ([]byte, *execution.Failure) {
	if !hasText(t.History) {
		return nil, nil
	}
	if r.canResume(t) {
		return t.Session.Data, nil
	}
	history, err := session.Encode(id, t.History)
	if err != nil {
		return nil, newFailure(execution.CodeInvalidTask, "the history cannot be given to the agent: %v", err)
	}
	return history, nil
}

// read: success is that the agent exited with 0, after exactly one final result,
// without an error and with at least one turn; no single sign of it is enough.
// A task with a schema may still end with an answer in words only, because the
// CLI may; what such an answer is worth is for the asker to say.
func (streamJSON) parseResult(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	result, err := streamjson.Parse(o.Stdout)
	switch {
	case err != nil && o.Truncated:
		return nil, outputLimitFailure(o)
	case err != nil && o.ExitCode != 0:
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
		return newFailure(execution.CodeAgentError, "the agent did not finish within its turns")
	case result.IsError || strings.HasPrefix(result.Subtype, "error"):
		return newFailure(execution.CodeAgentError, "the agent reported an error: %s", excerpt(errorText(result)))
	case o.ExitCode != 0:
		return exitCodeFailure(o)
	case result.NumTurns < 1:
		return newFailure(execution.CodeInvalidResult, "the agent ended well without asking its model anything")
	case r.hasSchema && len(result.Structured) > 0 && !isObject(string(result.Structured)):
		return newFailure(execution.CodeInvalidResult, "the agent's structured answer is not a JSON object")
	case strings.TrimSpace(result.Text) == "" && len(result.Structured) == 0:
		return emptyResultFailure()
	default:
		return nil
	}
}

func errorText(r streamjson.Result) string {
	if r.Text != "" {
		return r.Text
	}
	return r.Subtype
}

// sessionID is the same for all turns of a conversation, because an agent's own
// session file holds it, and for all attempts of an execution.
func sessionID(e *execution.Execution) uuid.UUID {
	name := "airlock execution " + e.ID
	if e.ConversationID != "" {
		name = "airlock conversation " + e.ConversationID
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name))
}

func hasText(history []execution.Message) bool {
	return slices.ContainsFunc(history, func(m execution.Message) bool { return m.Text != "" })
}

func isObject(text string) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal([]byte(text), &object) == nil && object != nil
}
