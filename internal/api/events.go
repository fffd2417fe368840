package api

import (
	"net/http"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/livesteps"
	"github.com/airlock-run/airlock/internal/store"
)

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
	release, err := s.streamSlots.acquire(ref.Tenant)
	if err != nil {
		return err
	}
	defer release()
	return s.streamExecution(c, ref, position)
}

func (s *Server) streamExecution(c echo.Context, ref execution.Ref, position eventPosition) error {
	ctx := c.Request().Context()
	notified, unsubscribe := s.watchers.Subscribe(ref) // before the first read, so that no change is missed
	defer unsubscribe()
	watcher := s.newWatcher(store.WatchChanges)
	stream := &eventStream{c: c, controller: http.NewResponseController(c.Response())}
	live := &livesteps.Subscription{}
	defer func() { live.Close() }()
	for {
		e, version, err := s.readExecution(ctx, ref)
		if err != nil {
			return err
		}
		if !stream.started() && e.Status.Terminal() && e.Status == position.status && e.Attempt == position.attempt {
			return c.NoContent(http.StatusNoContent) // the EventSource of a browser reconnects until it gets a 204
		}
		if position, err = stream.writeNew(&e, position); err != nil || e.Status.Terminal() {
			return err
		}
		if !live.Of(&e) {
			live.Close()
			live = s.config.LiveSteps.Follow(&e)
		}
		read := versionOf(&e, version)
		interval := watcher.next(ctx, &read)
		if interval == 0 {
			continue
		}
		position, err = s.streamSteps(stream, &e, live, position, notified, interval)
		if err != nil {
			if endsQuietly(c, err) {
				return nil
			}
			return err
		}
	}
}

// streamSteps writes the steps of a running execution as they come, until it is time to read the execution again.
func (s *Server) streamSteps(
	stream *eventStream, e *execution.Execution, live *livesteps.Subscription, position eventPosition,
	notified <-chan struct{}, timeout time.Duration,
) (_ eventPosition, err error) {
	readAgain := time.Now().Add(timeout)
	for {
		var more <-chan struct{}
		var news livesteps.News
		news, more = live.News()
		e.Steps = news.Steps
		if position, err = stream.writeNew(e, position); err != nil {
			return position, err
		}
		if err := stream.writeResult(e.Attempt, news.Result); err != nil {
			return position, err
		}
		if err := stream.writeSaying(e.Attempt, news.Saying); err != nil {
			return position, err
		}
		moreSteps, err := s.waitForEither(stream.c, notified, more, time.Until(readAgain))
		if err != nil || !moreSteps {
			return position, err
		}
	}
}
