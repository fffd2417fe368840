package api

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/livesteps"
)

// keepAliveInterval is how long a stream may be silent: less than the time after which proxies close a silent
// connection.
const keepAliveInterval = 15 * time.Second

// eventPosition is how much of an execution's events a client has. It is the ID of an event. The zero value is nothing.
type eventPosition struct {
	attempt, step int
	status        execution.Status // of the newest status event
}

func (p eventPosition) String() string { return fmt.Sprintf("%d-%d-%s", p.attempt, p.step, p.status) }

func parseEventPosition(eventID string) (eventPosition, bool) {
	var p eventPosition
	attempt, rest, _ := strings.Cut(eventID, "-")
	step, status, ok := strings.Cut(rest, "-")
	if !ok || !parseNumber(attempt, &p.attempt) || !parseNumber(step, &p.step) {
		return eventPosition{}, false
	}
	p.status = execution.Status(status)
	return p, p.String() == eventID
}

// parseNumber reads a number without a sign and without leading zeros.
func parseNumber(text string, n *int) bool {
	_, err := fmt.Sscanf(text, "%d", n)
	return err == nil && *n >= 0 && fmt.Sprint(*n) == text
}

// eventStream writes server-sent events.
type eventStream struct {
	c          echo.Context
	controller *http.ResponseController
	lastWrite  time.Time // the zero time: nothing is written yet
	saying     int       // version of the text that was written last
	result     int       // version of the result of a tool that was written last
}

func (s *eventStream) started() bool { return !s.lastWrite.IsZero() }

// writeNew writes the events after the position and returns the new position. The status of a finished execution comes
// last, because a client stops reading after it.
func (s *eventStream) writeNew(e *execution.Execution, position eventPosition) (eventPosition, error) {
	if !s.started() {
		s.writeHeader()
	}
	if e.Attempt != position.attempt {
		position = eventPosition{attempt: e.Attempt}
	}
	if !e.Status.Terminal() {
		if err := s.writeStatus(e, &position); err != nil {
			return position, err
		}
	}
	for _, step := range e.Steps {
		if step.Number <= position.step {
			continue
		}
		position.step = step.Number
		event := contract.StepEvent{Attempt: e.Attempt, Number: step.Number, Text: step.Text}
		if err := s.writeEvent(string(step.Kind), position.String(), event); err != nil {
			return position, err
		}
	}
	if e.Status.Terminal() {
		return position, s.writeStatus(e, &position)
	}
	return position, s.keepAlive()
}

// writeSaying writes the text that the agent is saying, if it has changed. The event has no ID: a client that continues
// later gets the whole text as a step.
func (s *eventStream) writeSaying(attempt int, saying livesteps.Saying) error {
	if saying.Version == s.saying {
		return nil
	}
	s.saying = saying.Version
	if saying.Text == "" {
		return nil
	}
	text, err := json.Marshal(contract.PartialEvent{Attempt: attempt, Text: saying.Text})
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("event: partial\ndata: %s\n\n", text))
}

// writeResult writes the newest result of a tool, if it is a new one. The event has no ID: a client that continues
// later reads the results in the transcript.
func (s *eventStream) writeResult(attempt int, result livesteps.Result) error {
	if result.Version == s.result {
		return nil
	}
	s.result = result.Version
	data, err := json.Marshal(contract.ToolResultEvent{Attempt: attempt, Tool: result.Tool, Text: result.Text, IsError: result.IsError})
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("event: tool_result\ndata: %s\n\n", data))
}

// keepAlive writes a comment if the stream has been silent for long.
func (s *eventStream) keepAlive() error {
	if time.Since(s.lastWrite) < keepAliveInterval {
		return nil
	}
	return s.write(":\n\n")
}

func (s *eventStream) writeHeader() {
	h := s.c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set(headerCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would buffer the events
	s.c.Response().WriteHeader(http.StatusOK)
	s.lastWrite = time.Now()
}

func (s *eventStream) writeStatus(e *execution.Execution, position *eventPosition) error {
	if e.Status == position.status {
		return nil
	}
	position.status = e.Status
	event := contract.StatusEvent{Status: contract.Status(e.Status), Attempt: e.Attempt, Error: viewFailure(e.Failure)}
	return s.writeEvent("status", position.String(), event)
}

func (s *eventStream) writeEvent(name, eventID string, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return s.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", eventID, name, text))
}

func (s *eventStream) write(text string) error {
	if _, err := s.c.Response().Write([]byte(text)); err != nil {
		return err
	}
	s.lastWrite = time.Now()
	return s.controller.Flush()
}
