package api

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

// Artifacts is where the contents are that documents only name. Get returns
// artifact.ErrLost or artifact.ErrUnavailable; the reader is the caller's to close.
type Artifacts interface {
	Get(ctx context.Context, key blob.Key, want execution.Content) (*blob.Reader, error)
}

// GetExecutionResult hands out the whole result, from wherever it is.
func (s *Server) GetExecutionResult(c echo.Context, executionID contract.ID) error {
	e, err := s.readRequestedExecution(c, executionID)
	if err != nil {
		return err
	}
	switch {
	case e.Result == nil:
		return &store.NotFoundError{Resource: "result of the execution", ID: executionID}
	case e.Result.Complete == nil:
		return respondJSON(c, http.StatusOK, viewResult(e))
	default:
		return s.serveContent(c, blob.ResultKey(&e), *e.Result.Complete, echo.MIMEApplicationJSON)
	}
}

// GetExecutionFile hands out a file that the job left. Only names that are on
// the execution's list are served, so no path leads anywhere else. To a browser
// it is a download and nothing that it may run.
func (s *Server) GetExecutionFile(c echo.Context, executionID contract.ID, filePath string) error {
	e, err := s.readRequestedExecution(c, executionID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(e.Files, func(f execution.File) bool { return f.Path == filePath })
	if i < 0 {
		return &store.NotFoundError{Resource: "file of the execution", ID: filePath}
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(filePath)}))
	header.Set(echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	return s.serveContent(c, blob.FileKey(&e, i), e.Files[i].Content, echo.MIMEOctetStream)
}

// fileBelow is GetExecutionFile for paths whose slashes are not escaped.
func (s *Server) getExecutionFileByPath(c echo.Context) error {
	name, err := url.PathUnescape(c.Param("*"))
	if err != nil {
		return invalidRequest(fieldError("path", "is not well escaped"))
	}
	return s.GetExecutionFile(c, c.Param("id"), name)
}

func (s *Server) readRequestedExecution(c echo.Context, executionID string) (execution.Execution, error) {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return execution.Execution{}, err
	}
	return s.readExecution(c.Request().Context(), ref)
}

// serve streams a content, or the part of it that was asked for. It never
// changes, so its hash is its ETag.
func (s *Server) serveContent(c echo.Context, key blob.Key, expected execution.Content, contentType string) error {
	content, err := s.config.Artifacts.Get(c.Request().Context(), key, expected)
	if err != nil {
		return err
	}
	defer content.Close()
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, contentType)
	header.Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(expected.SHA256)))
	header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(expected.SHA256)+":")
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, content)
	if err := content.Err(); err != nil {
		// The caller was promised more bytes than came, and so knows as well.
		s.log.Warn("content cut short", zap.String("request", requestID(c)), zap.Error(err))
	}
	return nil
}
