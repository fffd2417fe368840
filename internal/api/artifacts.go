package api

import (
	"context"
	"encoding/base64"
	"io"
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

// Artifacts reads output files, large results and transcripts, stores and reads uploaded files, and deletes agent
// sessions. Get and Transcript return blob.ErrLost or blob.ErrUnavailable, as does Put; the caller closes the reader of
// Get. It may be called concurrently.
type Artifacts interface {
	Get(ctx context.Context, key blob.Key, want execution.Content) (*blob.Reader, error)
	Put(ctx context.Context, key blob.Key, from io.Reader) (execution.Content, error)
	DeleteContent(ctx context.Context, key blob.Key) error
	Transcript(ctx context.Context, ref execution.Ref) (*blob.TranscriptReader, error)
}

// GetExecutionResult sends the complete result: from blob storage if it is large, else from the execution.
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
		return s.serveContent(c, artifact{blob.ResultKey(&e), *e.Result.Complete, echo.MIMEApplicationJSON})
	}
}

// GetExecutionFile sends an output file. It serves only paths of the execution's list, so no path leads elsewhere. A
// browser downloads the file and never runs it.
func (s *Server) GetExecutionFile(c echo.Context, executionID contract.ID, filePath string) error {
	e, err := s.readRequestedExecution(c, executionID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(e.Files, func(f execution.File) bool { return f.Path == filePath })
	if i < 0 {
		return &store.NotFoundError{Resource: "file of the execution", ID: filePath}
	}
	return s.serveDownload(c, path.Base(filePath), artifact{blob.FileKey(&e, i), e.Files[i].Content, echo.MIMEOctetStream})
}

// serveDownload sends a content that a browser downloads under a name, and never runs.
func (s *Server) serveDownload(c echo.Context, name string, a artifact) error {
	header := c.Response().Header()
	header.Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	header.Set(echo.HeaderContentSecurityPolicy, "sandbox; default-src 'none'")
	return s.serveContent(c, a)
}

// GetExecutionWorkspace sends the files that the job left in its working folder.
func (s *Server) GetExecutionWorkspace(c echo.Context, executionID contract.ID) error {
	e, err := s.readRequestedExecution(c, executionID)
	if err != nil {
		return err
	}
	if e.Workspace.Empty() {
		return &store.NotFoundError{Resource: "workspace of the execution", ID: executionID}
	}
	c.Response().Header().Set(echo.HeaderContentDisposition, mime.FormatMediaType("attachment", map[string]string{"filename": executionID + ".tar.zst"}))
	return s.serveContent(c, artifact{blob.WorkspaceKey(e.Tenant, e.Workspace), e.Workspace.Content, "application/zstd"})
}

// getExecutionFileByPath is GetExecutionFile for paths whose slashes are not escaped.
func (s *Server) getExecutionFileByPath(c echo.Context) error {
	name, err := url.PathUnescape(c.Param("*"))
	if err != nil {
		return invalidField("path", "has an invalid escape")
	}
	return s.GetExecutionFile(c, c.Param("id"), name)
}

func (s *Server) readRequestedExecution(c echo.Context, executionID string) (execution.Execution, error) {
	ref, err := executionRef(c, executionID)
	if err != nil {
		return execution.Execution{}, err
	}
	e, _, err := s.readExecution(c.Request().Context(), ref)
	return e, err
}

// artifact is an output file or a result in blob storage.
type artifact struct {
	key         blob.Key
	content     execution.Content
	contentType string
}

// serveContent sends an artifact, or the range of it that the request asks for. An artifact never changes, so its hash
// is its ETag.
func (s *Server) serveContent(c echo.Context, a artifact) error {
	reader, err := s.config.Artifacts.Get(c.Request().Context(), a.key, a.content)
	if err != nil {
		return err
	}
	defer reader.Close()
	header := c.Response().Header()
	header.Set(echo.HeaderContentType, a.contentType)
	header.Set(headerETag, etagOf(a.content.SHA256))
	header.Set("Repr-Digest", "sha-256=:"+base64.StdEncoding.EncodeToString(a.content.SHA256)+":")
	http.ServeContent(c.Response(), c.Request(), "", time.Time{}, reader)
	if err := reader.Err(); err != nil && !clientDisconnected(c, err) {
		// The client gets fewer bytes than Content-Length says, so it notices as well.
		s.log.Warn("content response aborted", zap.String("request", requestID(c)), zap.Error(err))
	}
	return nil
}
