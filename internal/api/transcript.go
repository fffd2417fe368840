package api

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// GetExecutionTranscript sends the transcript of an execution, as far as it is stored. With follow it waits for the
// rest. Once the retention of the transcript has ended, it is not sent, also if it is not deleted yet: a part of it may
// be.
func (s *Server) GetExecutionTranscript(c echo.Context, executionID contract.ID, params contract.GetExecutionTranscriptParams) error {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return err
	}
	if err := s.checkTranscript(c.Request().Context(), ref); err != nil {
		return err
	}
	if params.Offset < 0 {
		return invalidField("offset", "must not be negative")
	}
	header := c.Response().Header()
	header.Set(headerCacheControl, "no-store")
	if params.Follow {
		return s.followTranscript(c, ref, params.Offset)
	}
	reader, err := s.config.Artifacts.Transcript(c.Request().Context(), ref)
	if err != nil {
		return err
	}
	header.Set(echo.HeaderContentType, mediaTypeJSONLines)
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, reader)
	if err := reader.Err(); err != nil && !clientDisconnected(c, err) {
		s.log.Warn("transcript response aborted", zap.String("request", requestID(c)), zap.Error(err))
	}
	return nil
}

// checkTranscript returns a *store.NotFoundError or a *transcriptDeletedError if there is no transcript to send.
func (s *Server) checkTranscript(ctx context.Context, ref execution.Ref) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	e, now, err := s.stores.Executions.ExecutionAt(ctx, ref)
	if err != nil {
		return err
	}
	if at, ended := e.TranscriptEnded(now); ended {
		return &transcriptDeletedError{at: at, deleted: e.TranscriptDeletedAt != nil}
	}
	return nil
}

// followTranscript sends what is stored after offset, and then what is added, until the execution has finished. A
// response that is interrupted does not end properly, so the client notices.
func (s *Server) followTranscript(c echo.Context, ref execution.Ref, offset int64) error {
	release, err := s.streamSlots.acquire(ref.Tenant)
	if err != nil {
		return err
	}
	defer release()
	ctx := c.Request().Context()
	notified, unsubscribe := s.watchers.Subscribe(ref) // before the first read, so that no change is missed
	defer unsubscribe()
	watcher := s.newWatcher(store.WatchChanges)
	for lastWrite := time.Now(); ; {
		e, version, err := s.readExecution(ctx, ref)
		if err != nil {
			return err
		}
		sent, err := s.writeTranscript(c, ref, offset) // after the read: of a finished execution it is complete
		if err != nil {
			return err
		}
		offset += sent
		if e.Status.Terminal() {
			return nil
		}
		if sent > 0 {
			lastWrite = time.Now()
		} else if time.Since(lastWrite) > keepAliveInterval {
			lastWrite = time.Now()
			if _, err := c.Response().Write([]byte("\n")); err != nil {
				return err
			}
		}
		c.Response().Flush()
		read := versionOf(&e, version)
		interval := watcher.next(ctx, &read)
		if interval == 0 {
			continue
		}
		if err := s.waitForChange(c, notified, interval); err != nil {
			if ctx.Err() != nil {
				return nil // the client has disconnected
			}
			return err
		}
	}
}

// writeTranscript sends what is stored after offset, and returns how many bytes that were.
func (s *Server) writeTranscript(c echo.Context, ref execution.Ref, offset int64) (int64, error) {
	reader, err := s.config.Artifacts.Transcript(c.Request().Context(), ref)
	if err != nil {
		return 0, err
	}
	if offset > reader.Size() {
		return 0, invalidField("offset", "is behind the end of the transcript")
	}
	if _, err := reader.Seek(offset, io.SeekStart); err != nil {
		return 0, err
	}
	c.Response().Header().Set(echo.HeaderContentType, mediaTypeJSONLines)
	return io.Copy(c.Response(), reader)
}
