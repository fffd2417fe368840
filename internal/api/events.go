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
	keepAlive = 15 * time.Second
	// maxStreams is how many streams of events one process serves at once.
	maxStreams = 2048
)

// seen is how much of an execution's events a reader has; it is what an
// event's ID says. The zero value is nothing.
type seen struct {
	attempt, step int
	status        execution.Status // that was told last
}

func (s seen) String() string { return fmt.Sprintf("%d-%d-%s", s.attempt, s.step, s.status) }

func parseSeen(eventID string) (seen, bool) {
	var s seen
	attempt, rest, _ := strings.Cut(eventID, "-")
	step, status, ok := strings.Cut(rest, "-")
	if !ok || !number(attempt, &s.attempt) || !number(step, &s.step) {
		return seen{}, false
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
	var known seen
	if last := c.Request().Header.Get("Last-Event-ID"); last != "" {
		var ok bool
		if known, ok = parseSeen(last); !ok {
			return invalid(fieldError("Last-Event-ID", "is not the ID of an event; leave it out to begin with the first"))
		}
	}
	if !s.streams.TryAcquire(1) {
		return &problem{Status: http.StatusServiceUnavailable, Code: contract.ProblemUnavailable, RetryAfter: retryWhenUnavailable,
			Detail: "This server streams to as many readers as it can. Try again in a moment, or poll the execution."}
	}
	defer s.streams.Release(1)

	news, leave := s.waiting.Enter(ref) // before the first read, so that nothing is missed between
	defer leave()
	out := &eventStream{c: c, control: http.NewResponseController(c.Response())}
	for {
		e, err := s.readExecution(c.Request().Context(), ref)
		if err != nil {
			return err
		}
		if out.wrote.IsZero() && e.Status.Terminal() && e.Status == known.status && e.Attempt == known.attempt {
			return c.NoContent(http.StatusNoContent) // a browser's EventSource asks again until it hears this
		}
		if known, err = out.tell(&e, known); err != nil || e.Status.Terminal() {
			return err
		}
		select {
		case <-news:
		case <-time.After(s.reread()):
		case <-s.closing:
			return nil // the reader comes back, with the ID of the last event
		case <-c.Request().Context().Done():
			return nil
		}
		if err := s.admitted(c); err != nil {
			return err
		}
	}
}

// eventStream writes server-sent events.
type eventStream struct {
	c       echo.Context
	control *http.ResponseController
	wrote   time.Time // the zero time: nothing yet
}

// tell writes what a reader does not know of an execution, and returns what it
// knows then. The end comes last: after it nobody reads on.
func (o *eventStream) tell(e *execution.Execution, known seen) (seen, error) {
	if o.wrote.IsZero() {
		o.begin()
	}
	if e.Attempt != known.attempt {
		known = seen{attempt: e.Attempt}
	}
	if !e.Status.Terminal() {
		if err := o.status(e, &known); err != nil {
			return known, err
		}
	}
	for _, step := range e.Steps {
		if step.Number <= known.step {
			continue
		}
		known.step = step.Number
		event := contract.StepEvent{Attempt: e.Attempt, Number: step.Number, Text: step.Text}
		if err := o.event(string(step.Kind), known, event); err != nil {
			return known, err
		}
	}
	if e.Status.Terminal() {
		return known, o.status(e, &known)
	}
	if time.Since(o.wrote) >= keepAlive {
		return known, o.write(":\n\n")
	}
	return known, nil
}

func (o *eventStream) begin() {
	h := o.c.Response().Header()
	h.Set(echo.HeaderContentType, "text/event-stream")
	h.Set(headerCacheControl, "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would keep events back
	o.c.Response().WriteHeader(http.StatusOK)
	o.wrote = time.Now()
}

func (o *eventStream) status(e *execution.Execution, known *seen) error {
	if e.Status == known.status {
		return nil
	}
	known.status = e.Status
	return o.event("status", *known, contract.StatusEvent{Status: contract.Status(e.Status), Attempt: e.Attempt, Error: viewFailure(e.Failure)})
}

func (o *eventStream) event(name string, known seen, data any) error {
	text, err := json.Marshal(data)
	if err != nil {
		return err
	}
	return o.write(fmt.Sprintf("id: %s\nevent: %s\ndata: %s\n\n", known, name, text))
}

func (o *eventStream) write(text string) error {
	if _, err := o.c.Response().Write([]byte(text)); err != nil {
		return err
	}
	o.wrote = time.Now()
	return o.control.Flush()
}

// number reads a number without a sign or anything around it.
func number(text string, n *int) bool {
	_, err := fmt.Sscanf(text, "%d", n)
	return err == nil && *n >= 0 && fmt.Sprint(*n) == text
}
