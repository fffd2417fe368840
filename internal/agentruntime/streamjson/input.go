package streamjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Input is what an agent gets on its standard input: one job, as lines of JSON. The agent may have been started before
// its job was known.
type Input struct {
	Model        string            // empty: the one of the agent's start
	ModelEnv     map[string]string // variables that replace those of the agent's start, with Model
	Instructions string            // in addition to the agent's own
	Schema       string            // JSON Schema of the answer; empty: the answer is text
	Prompt       string
}

// Types and subtypes of the lines. The first are control requests, whose answers nobody waits for: the agent handles
// one line after another.
const (
	typeControl    = "control_request"
	typeUser       = "user"
	subInitialize  = "initialize"
	subApplyFlags  = "apply_flag_settings"
	requestOfStart = "airlock-start"
	requestOfModel = "airlock-model"
)

type inputLine struct {
	Type      string          `json:"type"`
	RequestID string          `json:"request_id,omitempty"`
	Request   *controlRequest `json:"request,omitempty"`
	Message   *userMessage    `json:"message,omitempty"`
}

type controlRequest struct {
	Subtype            string          `json:"subtype"`
	AppendSystemPrompt string          `json:"appendSystemPrompt,omitempty"`
	JSONSchema         json.RawMessage `json:"jsonSchema,omitempty"`
	Settings           *flagSettings   `json:"settings,omitempty"`
}

type flagSettings struct {
	Model string            `json:"model"`
	Env   map[string]string `json:"env,omitempty"`
}

type userMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// Encode returns the lines. The error is about a schema that is not JSON.
func (in Input) Encode() ([]byte, error) {
	lines := []inputLine{{Type: typeControl, RequestID: requestOfStart, Request: &controlRequest{
		Subtype: subInitialize, AppendSystemPrompt: in.Instructions, JSONSchema: json.RawMessage(in.Schema),
	}}}
	if in.Model != "" {
		lines = append(lines, inputLine{Type: typeControl, RequestID: requestOfModel, Request: &controlRequest{
			Subtype: subApplyFlags, Settings: &flagSettings{Model: in.Model, Env: in.ModelEnv},
		}})
	}
	// The line feed keeps the agent from reading a leading slash as one of its commands.
	lines = append(lines, inputLine{Type: typeUser, Message: &userMessage{Role: typeUser, Content: "\n" + in.Prompt}})
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	for _, l := range lines {
		if err := enc.Encode(l); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// ReadInput reads what Encode wrote. It is the agent's side.
func ReadInput(r io.Reader) (Input, error) {
	var in Input
	dec := json.NewDecoder(r)
	for {
		var l inputLine
		err := dec.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			return in, errors.New("no message on standard input")
		case err != nil:
			return in, fmt.Errorf("read standard input: %w", err)
		case l.Type == typeControl && l.Request != nil && l.Request.Subtype == subInitialize:
			in.Instructions, in.Schema = l.Request.AppendSystemPrompt, string(l.Request.JSONSchema)
		case l.Type == typeControl && l.Request != nil && l.Request.Settings != nil:
			in.Model, in.ModelEnv = l.Request.Settings.Model, l.Request.Settings.Env
		case l.Type == typeUser && l.Message != nil:
			in.Prompt = strings.TrimPrefix(l.Message.Content, "\n")
			return in, nil
		default:
			return in, fmt.Errorf("unknown line of type %q on standard input", l.Type)
		}
	}
}
