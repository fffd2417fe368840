// Package streamjson reads what an agent prints: one JSON object a line, the
// last of which is its result. What an agent prints is not to be trusted (a
// tool that it runs can write to the same file), so the reader is strict about
// the result, bounded in everything, and indifferent to all other events.
package streamjson

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
)

// Errors of Parse. All of them mean that the output holds no result that can be relied on.
var (
	ErrNoResult        = errors.New("the output holds no result")
	ErrMultipleResults = errors.New("the output holds more than one result")
	ErrTrailingOutput  = errors.New("the output goes on after its result")
	ErrMalformed       = errors.New("the output is not lines of JSON objects")
)

// halfLetters are escapes of half a surrogate pair, such as JavaScript writes
// where it has cut a text. They are read as U+FFFD.
var allowLoneSurrogates = jsontext.AllowInvalidUTF8(true)

// Result is the final event. Fields that the agent left out are zero.
type Result struct {
	Subtype    string `json:"subtype"`
	IsError    bool   `json:"is_error"`
	NumTurns   int    `json:"num_turns"`
	Text       string `json:"result"`
	StopReason string `json:"stop_reason"`
	// APIErrorStatus is the HTTP status with which the model refused; 0 when it did not, or not over HTTP.
	APIErrorStatus int `json:"api_error_status"`
	// Structured is the answer that follows the schema, a JSON object; empty when there is none.
	Structured jsontext.Value `json:"structured_output"`
}

// Parse finds the one result in all that an agent printed.
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
