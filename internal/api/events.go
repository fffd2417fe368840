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
)

const (
	// keepAlive is how long a stream is silent at the most: less than what
	// proxies wait before they close a connection.
	keepAliveInterval = 15 * time.Second
	// maxStreams is how many streams of events one process serves at once.
	maxStreams = 2048
)

// seen is how much of an execution's events a reader has; it is what an
// event's ID says. The zero value is nothing.
type eventPosition struct {
	attempt, step int
	status        execution.Status // that was told last
}

func (s eventPosition) String() string { return fmt.Sprintf("%d-%d-%s", s.attempt, s.step, s.status) }

func parseEventPosition(eventID string) (eventPosition, bool) {
	var s eventPosition
	attempt, rest, _ := strings.Cut(eventID, "-")
	step, status, ok := strings.Cut(rest, "-")
	if !ok || !parseNumber(attempt, &s.attempt) || !parseNumber(step, &s.step) {
		return eventPosition{}, false
	}
	s.status = execution.Status(status)
	return s, s.String() == eventID
}

// GetExecutionEvents streams what becomes of an execution, to its end.
func (s *Server) GetExecutionEvents(c echo.Context, executionID contract.ID, _ contract.GetExecutionEventsParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	var position eventPosition
	if last := c.Request().Header.Get("Last-Event-ID"); last != "" {
		var ok bool
		if position, ok = parseEventPosition(last); !ok {
			return invalidRequest(fieldError("Last-Event-ID", "is not the ID of an event; leave it out to begin with the first"))
		}
	}
	if !s.streamSlots.TryAcquire(1) {
		return &problem{Status: http.StatusServiceUnavailable, Code: contract.ProblemUnavailable, RetryAfter: unavailableRetrySeconds,
			Detail: "This server streams to as many readers as it can. Try again in a moment, or poll the execution."}
	}
	defer s.streamSlots.Release(1)

	notified, unsubscribe := s.watchers.Subscribe(ref) // before the first read, so that nothing is missed between
	defer unsubscribe()
	stream := &eventStream{c: c, controller: http.NewResponseController(c.Response())}
	for {
		e, err := s.readExecution(c.Request().Context(), ref)
		if err != nil {
			return err
		}
		if stream.lastWrite.IsZero() && e.Status.Terminal() && e.Status == position.status && e.Attempt == position.attempt {
			return c.NoContent(http.StatusNoContent) // a browser's EventSource asks again until it hears this
		}
		if position, err = stream.writeNew(&e, position); err != nil || e.Status.Terminal() {
			return err
		}
		select {
		case <-notified:
		case <-time.After(s.pollInterval()):
		case <-s.shutdown:
			return nil // the reader comes back, with the ID of the last event
		case <-c.Request().Context().Done():
			return nil
		}
		if err := s.reauthenticate(c); err != nil {
			return err
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	c          echo.Context
	controller *http.ResponseController
	lastWrite  time.Time // the zero time: nothing yet
}

// tell writes what a reader does not know of an execution, and returns what it
// knows then. The end comes last: after it nobody reads on.
func (o *eventStream) writeNew(e *execution.Execution, position eventPosition) (eventPosition, error) {
	if o.lastWrite.IsZero() {
		o.writeHeader()
	}
	if e.Attempt != position.attempt {
		position = eventPosition{attempt: e.Attempt}
	}
	if !e.Status.Terminal() {
		if err := o.writeStatus(e, &position); err != nil {
			return position, err
		}
	}
	for _, step := range e.Steps {
		if step.Number <= position.step {
			continue
		}
		position.step = step.Number
		event := contract.StepEvent{Attempt: e.Attempt, Number: step.Number, Text: step.Text}
		if err := o.writeEvent(string(step.Kind), position, event); err != nil {
			return position, err
		}
	}
	if e.Status.Terminal() {
		return position, o.writeStatus(e, &position)
	}
	if time.Since(o.lastWrite) >= keepAliveInterval {
		return position, o.write(":\n\n")
	}
	return position, nil
}

func (o *eventStream) writeHeader() {
	h := o.c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set(headerCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	o.c.Response().WriteHeader(http.StatusOK)
	o.lastWrite = time.Now()
}

func (o *eventStream) writeStatus(e *execution.Execution, position *eventPosition) error {
	if e.Status == position.status {
		return nil
	}
	position.status = e.Status
	return o.writeEvent("status", *position, contract.StatusEvent{Status: contract.Status(e.Status), Attempt: e.Attempt, Error: viewFailure(e.Failure)})
}

func (o *eventStream) writeEvent(name string, position eventPosition, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return o.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", position, name, text))
}

func (o *eventStream) write(text string) error {
	if _, err := o.c.Response().Write([]byte(text)); err != nil {
		return err
	}
	o.lastWrite = time.Now()
	return o.controller.Flush()
}

// number reads a number without a sign or anything around it.
func parseNumber(text string, n *int) bool {
	_, err := fmt.Sscanf(text, "%d", n)
	return err == nil && *n >= 0 && fmt.Sprint(*n) == text
}
