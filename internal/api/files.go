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
	e, err := s.executionOf(c, executionID)
	if err != nil {
		return err
	}
	switch {
	case e.Result == nil:
		return &store.NotFoundError{Resource: "result of the execution", ID: executionID}
	case e.Result.Whole == nil:
		return answer(c, http.StatusOK, viewResultOf(e))
	default:
		return s.serve(c, blob.ResultOf(&e), *e.Result.Whole, echo.MIMEApplicationJSON)
	}
}

// GetExecutionFile hands out a file that the job left. Only names that are on
// the execution's list are served, so no path leads anywhere else. To a browser
// it is a download and nothing that it may run.
func (s *Server) GetExecutionFile(c echo.Context, executionID contract.ID, name string) error {
	e, err := s.executionOf(c, executionID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(e.Files, func(f execution.File) bool { return f.Path == name })
	if i < 0 {
		return &store.NotFoundError{Resource: "file of the execution", ID: name}
	}
	header := c.Response().Header()
	header.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(name)}))
	header.Set(echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	return s.serve(c, blob.FileOf(&e, i), e.Files[i].Content, echo.MIMEOctetStream)
}

// fileBelow is GetExecutionFile for paths whose slashes are not escaped.
func (s *Server) fileBelow(c echo.Context) error {
	name, err := url.PathUnescape(c.Param("*"))
	if err != nil {
		return invalid(fieldError("path", "is not well escaped"))
	}
	return s.GetExecutionFile(c, c.Param("id"), name)
}

func (s *Server) executionOf(c echo.Context, executionID string) (execution.Execution, error) {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return execution.Execution{}, err
	}
	return s.readExecution(c.Request().Context(), ref)
}

// serve streams a content, or the part of it that was asked for. It never
// changes, so its hash is its ETag.
func (s *Server) serve(c echo.Context, key blob.Key, want execution.Content, contentType string) error {
	content, err := s.config.Artifacts.Get(c.Request().Context(), key, want)
	if err != nil {
		return err
	}
	defer content.Close()
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, contentType)
	header.Set("ETag", fmt.Sprintf("%q", hex.EncodeToString(want.SHA256)))
	header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(want.SHA256)+":")
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, content)
	if err := content.Err(); err != nil {
		// The caller was promised more bytes than came, and so knows as well.
		s.log.Warn("content cut short", zap.String("request", requestID(c)), zap.Error(err))
	}
	return nil
}
