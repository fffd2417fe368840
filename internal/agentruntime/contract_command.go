package agentruntime

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/airlock-run/airlock/internal/agentruntime/catalog"
	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/sandbox"
)

// command is the contract for any program: it reads the input from standard input, writes the result to standard
// output, and exits with code 0. The other parts of a task are in files, whose paths are in environment variables.
type command struct{}

const (
	historyFile = sandbox.HomeDir + "/.airlock/history.json"
	schemaFile  = sandbox.HomeDir + "/.airlock/schema.json"
)

func (command) prepareJob(r *Run, e *execution.Execution) *execution.Failure {
	t := e.Task
	r.Job.Stdin = []byte(t.Input)
	r.Job.Env = append(r.Job.Env, environmentVariables(t.Settings.Env)...)
	addFile := func(variable, path string, data []byte) {
		if len(data) > 0 {
			r.Job.Files = append(r.Job.Files, sandbox.File{Path: path, Mode: 0o600, Data: data})
			r.Job.Env = append(r.Job.Env, variable+"="+path)
		}
	}
	instructions := r.entry.InstructionsPath
	if instructions == "" {
		instructions = catalog.DefaultInstructionsPath
	}
	addFile("AIRLOCK_INSTRUCTIONS", instructions, []byte(t.Instructions))
	addFile("AIRLOCK_SCHEMA", schemaFile, []byte(schemaOf(t)))
	if hasText(t.History) {
		history, err := encodeHistory(t.History)
		if err != nil {
			return newFailure(execution.CodeInvalidTask, "the history cannot be passed to the agent: %v", err)
		}
		addFile("AIRLOCK_HISTORY", historyFile, history)
	}
	if r.Model != "" {
		r.Job.Env = append(r.Job.Env, "AIRLOCK_MODEL="+r.Model)
	}
	r.continueConversation(e)
	return nil
}

func encodeHistory(history []execution.Message) ([]byte, error) {
	type message struct {
		Role string `json:"role"`
		Text string `json:"text"`
	}
	messages := make([]message, len(history))
	for i, m := range history {
		messages[i] = message{string(m.Role), m.Text}
	}
	return json.Marshal(messages)
}

func (command) parseResult(r *Run, o sandbox.Outcome) (*execution.Result, *execution.Failure) {
	out := bytes.TrimSpace(o.Stdout)
	switch {
	case o.ExitCode != 0 && r.Egress().LastCallFailed():
		return nil, r.modelFailure(0, "")
	case o.ExitCode != 0:
		return nil, exitCodeFailure(o)
	case o.Truncated:
		return nil, outputLimitFailure(r.Job)
	case len(out) == 0:
		return nil, emptyResultFailure()
	case r.entry.Output == catalog.JSON:
		if err := strictjson.Validate(out); err != nil {
			return nil, newFailure(execution.CodeInvalidResult, "the agent's result cannot be read: %s", excerpt(err.Error()))
		}
		return &execution.Result{Text: string(out), Output: string(out)}, nil
	case !utf8.Valid(out) || bytes.ContainsRune(out, 0):
		return nil, newFailure(execution.CodeInvalidResult, "the agent's result is not text: it must be UTF-8 without NUL")
	default:
		return &execution.Result{Text: strings.TrimRight(string(o.Stdout), " \t\r\n")}, nil
	}
}
