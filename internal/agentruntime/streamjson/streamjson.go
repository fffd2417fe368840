// Package streamjson reads the output of an agent: one JSON object per line, each with a type. Parse returns the
// result, which is the last line of that type; ParseItems reports what one line says about the agent's work.
//
// The output is not trusted, because a tool that the agent runs can write to the same file. Lines of other types, and
// lines that are not JSON, never change the result. A result that a tool has printed counts only if the agent prints
// none after it.
package streamjson

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/airlock-run/airlock/internal/agentruntime/strictjson"
)

// Errors of Parse.
var (
	ErrNoResult  = errors.New("the output has no result")
	ErrMalformed = errors.New("the output's last result is not a JSON object as expected")
)

// TypeResult is the type of a result.
const TypeResult = "result"

// allowLoneSurrogates accepts the escape of half a surrogate pair, which JavaScript writes if it has cut a text in the
// middle of a pair. It is read as U+FFFD.
var allowLoneSurrogates = jsontext.AllowInvalidUTF8(true)

// Result is an event of TypeResult. Fields that the agent did not print are zero.
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

// Parse returns the last result in the output of an agent. An agent with work in the background prints several results,
// and other lines after them.
func Parse(stdout []byte) (Result, error) {
	var last []byte
	for line := range bytes.Lines(stdout) {
		if EventType(line) == TypeResult {
			last = line
		}
	}
	if last == nil {
		return Result{}, ErrNoResult
	}
	return decodeResult(last)
}

// EventType returns the type of the event that a line holds, or "" if the line has none. A line that was cut after its
// type still has it.
func EventType(line []byte) string {
	d := jsontext.NewDecoder(bytes.NewReader(line), jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true))
	if begin, err := d.ReadToken(); err != nil || begin.Kind() != '{' {
		return ""
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return ""
		}
		if name.String() != "type" {
			if d.SkipValue() != nil {
				return ""
			}
			continue
		}
		value, err := d.ReadToken()
		if err != nil || value.Kind() != '"' {
			return ""
		}
		return value.String()
	}
	return ""
}

func decodeResult(line []byte) (Result, error) {
	if !utf8.Valid(line) {
		return Result{}, fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	var r Result
	if err := strictjson.Unmarshal(line, &r, allowLoneSurrogates); err != nil {
		return Result{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if bytes.Equal(r.Structured, []byte("null")) {
		r.Structured = nil
	}
	return r, nil
}
