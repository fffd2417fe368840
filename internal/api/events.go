package api

import (
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
)

// maxStreams bounds how many event streams one process serves at the same time.
const maxStreams = 2048

// GetExecutionEvents streams the changes of an execution until it has finished.
func (s *Server) GetExecutionEvents(c echo.Context, executionID contract.ID, _ contract.GetExecutionEventsParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	var position eventPosition
	if last := c.Request().Header.Get("Last-Event-ID"); last != "" {
		var ok bool
		if position, ok = parseEventPosition(last); !ok {
			return invalidField("Last-Event-ID", "is not the ID of an event; leave it out to start with the first one")
		}
	}
	if !s.streamSlots.TryAcquire(1) {
		return errTooManyStreams
	}
	defer s.streamSlots.Release(1)
	return s.streamExecution(c, ref, position)
}

func (s *Server) streamExecution(c echo.Context, ref execution.Ref, position eventPosition) error {
	ctx := c.Request().Context()
	notified, unsubscribe := s.watchers.Subscribe(ref) // before the first read, so that no change is missed
	defer unsubscribe()
	stream := &eventStream{c: c, controller: http.NewResponseController(c.Response())}
	for {
		e, err := s.readExecution(ctx, ref)
		if err != nil {
			return err
		}
		if !stream.started() && e.Status.Terminal() && e.Status == position.status && e.Attempt == position.attempt {
			return c.NoContent(http.StatusNoContent) // the EventSource of a browser reconnects until it gets a 204
		}
		if position, err = stream.writeNew(&e, position); err != nil || e.Status.Terminal() {
			return err
		}
		if err := s.waitForChange(c, notified, s.pollInterval()); err != nil {
			if endsQuietly(c, err) {
				return nil
			}
			return err
		}
	}
}
