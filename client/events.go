package client

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/cenkalti/backoff/v5"
)

// Event is a change of an execution. Kind says which field is set.
type Event struct {
	// Kind is "status", "output", "progress", or "partial": what the agent is saying at present, which replaces the partial
	// event before it, and is followed by an "output" with the whole text; or "tool_result": the newest result of a tool,
	// cut. More kinds may be added.
	Kind       string          `json:"kind"`
	Status     StatusEvent     `json:"status,omitzero"`     // of kind "status"
	ToolResult ToolResultEvent `json:"toolResult,omitzero"` // of kind "tool_result"
	Step       StepEvent       `json:"step,omitzero"`       // of the other kinds; a partial event has no number

	id string // the server continues after it
}

// Events returns the changes of an execution, from its beginning to its end. After an interruption it continues with
// the next event.
func (c *Client) Events(ctx context.Context, executionID string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lastID, ended := "", false
		stream[Event]{
			request: func() request {
				r := request{method: http.MethodGet, path: executionPath(executionID) + "/events", header: http.Header{"Accept": {"text/event-stream"}}}
				if lastID != "" {
					r.header.Set("Last-Event-ID", lastID)
				}
				return r
			},
			decode: decodeEvents,
			received: func(e Event) {
				lastID = cmp.Or(e.id, lastID) // a partial event and a result have none
				ended = ended || e.Kind == "status" && e.Status.Status.Terminal()
			},
			complete: func() bool { return ended },
		}.items(ctx, c)(yield)
	}
}

// decodeEvents reads the events of an execution.
func decodeEvents(body io.Reader) func() (Event, error) {
	next := readServerEvents(body)
	return func() (Event, error) {
		for {
			name, data, id, err := next()
			if err != nil {
				return Event{}, err
			}
			if name == "" { // a comment, which keeps the connection alive
				continue
			}
			e := Event{Kind: name, id: id}
			if err := e.decode(data); err != nil {
				return e, backoff.Permanent(err)
			}
			return e, nil
		}
	}
}

// readServerEvents reads a stream of server-sent events. An event without a name has no data: it is a comment, or tells
// an ID.
func readServerEvents(body io.Reader) func() (name, data, id string, err error) {
	lines := bufio.NewReader(body)
	var id string
	return func() (string, string, string, error) {
		var event, data string
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return "", "", "", err
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				event = value
			case "data":
				data = value
			case "":
				return event, data, id, nil
			}
		}
	}
}

func (e *Event) decode(data string) error {
	var target any = &e.Step
	switch e.Kind {
	case "status":
		target = &e.Status
	case "tool_result":
		target = &e.ToolResult
	}
	if err := json.Unmarshal([]byte(data), target); err != nil {
		return fmt.Errorf("cannot read an event of kind %q: %w", e.Kind, err)
	}
	return nil
}
