package client

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"

	"github.com/cenkalti/backoff/v5"
)

// Event is a change of an execution. Kind says whether Status or Step is set.
type Event struct {
	Kind   string      `json:"kind"`            // "status", "output" or "progress"; more kinds may be added
	Status StatusEvent `json:"status,omitzero"` // of kind "status"
	Step   StepEvent   `json:"step,omitzero"`   // of the other kinds

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
				lastID = e.id
				ended = ended || e.Kind == "status" && e.Status.Status.Terminal()
			},
			complete: func() bool { return ended },
		}.items(ctx, c)(yield)
	}
}

// decodeEvents reads a stream of server-sent events.
func decodeEvents(body io.Reader) func() (Event, error) {
	lines := bufio.NewReader(body)
	var id string
	return func() (e Event, err error) {
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return e, err
			}
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				e.Kind = value
			case "data":
				if err := e.decode(value); err != nil {
					return e, backoff.Permanent(err)
				}
			case "":
				if e.Kind != "" { // or it is a comment, which keeps the connection alive
					e.id = id
					return e, nil
				}
			}
		}
	}
}

func (e *Event) decode(data string) error {
	var target any = &e.Step
	if e.Kind == "status" {
		target = &e.Status
	}
	if err := json.Unmarshal([]byte(data), target); err != nil {
		return fmt.Errorf("cannot read an event of kind %q: %w", e.Kind, err)
	}
	return nil
}
