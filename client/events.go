package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"strings"
)

// Event is something that became of an execution. Kind says which of the others
// is set.
type Event struct {
	Kind   string      `json:"kind"` // "status", "output", "progress"; others may come
	Status StatusEvent `json:"status,omitzero"`
	Step   StepEvent   `json:"step,omitzero"` // of output and progress
}

// Events returns what becomes of an execution, from its beginning to its end.
// It goes on where it was when a connection breaks.
func (c *Client) Events(ctx context.Context, executionID string) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lastID := ""
		streamWithResume(ctx, yield, func(emit func(Event) bool) (ended bool, err error) {
			return c.readEvents(ctx, executionID, &lastID, emit)
		})
	}
}

// events passes on the events behind the one of the ID last, which it keeps up
// to date. It reports whether the end was among them, or was known.
func (c *Client) readEvents(ctx context.Context, executionID string, lastID *string, emit func(Event) bool) (ended bool, err error) {
	r := request{method: http.MethodGet, path: executionPath(executionID) + "/events", header: http.Header{"Accept": {"text/event-stream"}}}
	if *lastID != "" {
		r.header.Set("Last-Event-ID", *lastID)
	}
	res, err := c.doWithRetry(ctx, r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if res.StatusCode == http.StatusNoContent {
		return true, nil
	}
	lines := bufio.NewReader(res.Body)
	var id string
	var e Event
	for {
		line, err := lines.ReadString('\n')
		switch {
		case errors.Is(err, io.EOF):
			return ended, nil
		case ctx.Err() != nil:
			return ended, context.Cause(ctx)
		case err != nil:
			return ended, fmt.Errorf("%w: %w", errStreamInterrupted, err)
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch name {
		case "id":
			id = value
		case "event":
			e.Kind = value
		case "data":
			if err := e.decode(value); err != nil {
				return ended, err
			}
		case "":
			if e.Kind == "" {
				continue // a sign of life
			}
			*lastID = id
			ended = ended || e.Kind == "status" && e.Status.Status.Ended()
			if !emit(e) {
				return ended, nil
			}
			e = Event{}
		}
	}
}

func (e *Event) decode(data string) error {
	var target any = &e.Step
	if e.Kind == "status" {
		target = &e.Status
	}
	if err := json.Unmarshal([]byte(data), target); err != nil {
		return fmt.Errorf("an event of kind %q cannot be read: %w", e.Kind, err)
	}
	return nil
}
