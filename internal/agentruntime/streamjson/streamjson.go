// Package streamjson reads the output of an agent: one JSON object per line, of which the last one is the result. Parse
// returns the result; ParseSteps reports what one line says about the agent's work. The output is not trusted, because
// a tool that the agent runs can write to the same file. Therefore the result must be unambiguous, memory is bounded,
// and other events never change the result.
package streamjson

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
)

// Errors of Parse. All of them mean that the output has no unambiguous result.
var (
	ErrNoResult        = errors.New("the output has no result")
	ErrMultipleResults = errors.New("the output has more than one result")
	ErrTrailingOutput  = errors.New("the output continues after its result")
	ErrMalformed       = errors.New("the output is not one JSON object per line")
)

// allowLoneSurrogates accepts the escape of half a surrogate pair, which JavaScript writes if it has cut a text in the
// middle of a pair. It is read as U+FFFD.
var allowLoneSurrogates = jsontext.AllowInvalidUTF8(true)

// Result is the final event. Fields that the agent did not print are zero.
type Result struct {
	Subtype    string `json:"subtype"`
	IsError    bool   `json:"is_error"`
	NumTurns   int    `json:"num_turns"`
	Text       string `json:"result"`
	StopReason string `json:"stop_reason"`
	// APIErrorStatus is the HTTP status of an error from the model's API; 0 without such an error.
	APIErrorStatus int `json:"api_error_status"`
	// Structured is the answer that follows the task's schema, a JSON value; empty if there is none.
	Structured jsontext.Value `json:"structured_output"`
}

// Parse returns the one result in the complete output of an agent.
func Parse(stdout []byte) (Result, error) {
	var result Result
	found := false
	number := 0
	for line := range bytes.Lines(stdout) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		kind, err := eventType(line)
		if err != nil {
			return Result{}, fmt.Errorf("line %d: %w", number, err)
		}
		switch {
		case found && kind == "result":
			return Result{}, ErrMultipleResults
		case found:
			return Result{}, ErrTrailingOutput
		case kind == "result":
			if result, err = decodeResult(line); err != nil {
				return Result{}, fmt.Errorf("line %d: %w", number, err)
			}
			found = true
		}
	}
	if !found {
		return Result{}, ErrNoResult
	}
	return result, nil
}

func eventType(line []byte) (string, error) {
	if line[0] != '{' || !utf8.Valid(line) {
		return "", ErrMalformed
	}
	var event struct {
		Type string `json:"type"`
	}
	if err := strictjson.Unmarshal(line, &event, allowLoneSurrogates, jsontext.AllowDuplicateNames(true)); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return event.Type, nil
}

func decodeResult(line []byte) (Result, error) {
	var r Result
	if err := strictjson.Unmarshal(line, &r, allowLoneSurrogates); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if bytes.Equal(r.Structured, []byte("null")) {
		r.Structured = nil
	}
	return r, nil
}
