package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/file"
	"github.com/airlock-run/airlock/internal/domain/id"
	"github.com/airlock-run/airlock/internal/store"
)

// FileStore stores what is known of uploaded files. BeginFile comes before the content is stored, and CreateFile or
// AbandonFile after it. File and DeleteFile return a *store.NotFoundError for a missing file. Files lists the newest
// first.
type FileStore interface {
	BeginFile(ctx context.Context, tenant, fileID string) error
	AbandonFile(ctx context.Context, tenant, fileID string) error
	CreateFile(ctx context.Context, f *file.File, retention time.Duration, key *store.IdempotencyKey) error
	File(ctx context.Context, tenant, fileID string) (file.File, error)
	Files(ctx context.Context, tenant string, p store.Page) ([]file.File, error)
	DeleteFile(ctx context.Context, tenant, fileID string) error
}

// uploadTimeout bounds an upload, from its first byte to its response. It is less than what the janitor waits before it
// deletes what an interrupted upload has stored.
const uploadTimeout = 30 * time.Minute

// UploadFile stores the body as a file. At no time is more than a small part of it in memory: blob storage takes it as
// it arrives, and a slow one slows the client down.
func (s *Server) UploadFile(c echo.Context, params contract.UploadFileParams) error {
	f, err := s.newFile(c, params.Name)
	if err != nil {
		return err
	}
	release, err := s.uploadSlots.acquire(f.Tenant)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := context.WithTimeout(c.Request().Context(), uploadTimeout)
	defer cancel()
	if err := s.submitter.AdmitFile(ctx, f.Tenant, max(c.Request().ContentLength, 0)); err != nil {
		return err
	}
	if err := s.stores.Files.BeginFile(ctx, f.Tenant, f.ID); err != nil {
		return err
	}
	body := &uploadBody{Reader: http.MaxBytesReader(c.Response(), c.Request().Body, file.MaxBytes)}
	f.Content, err = s.config.Artifacts.Put(ctx, blob.UploadKey(f.Tenant, f.ID), body)
	if body.err != nil {
		err = uploadError(body.err) // the storage is not at fault
	}
	if err == nil {
		err = s.stores.Files.CreateFile(ctx, &f, s.config.FileRetention, idempotencyKey(c))
	}
	if errors.Is(err, store.ErrOutcomeUnknown) {
		return err // the file may exist; if it does not, the janitor deletes its content
	}
	if err != nil {
		s.abandonUpload(c, &f)
		return err
	}
	return s.respondCreated(c, store.Created{File: &f})
}

// newFile checks what a request says of the file that it uploads.
func (s *Server) newFile(c echo.Context, name string) (file.File, error) {
	r := c.Request()
	if err := s.checkOrigin(r); err != nil {
		return file.File{}, err
	}
	if reason := checkFileName(name); reason != "" {
		return file.File{}, invalidField("name", reason)
	}
	if encoding := r.Header.Get(echo.HeaderContentEncoding); encoding != "" {
		return file.File{}, &unsupportedMediaTypeError{fmt.Sprintf("The Content-Encoding %q is not supported: a file is stored as it is sent.", encoding)}
	}
	contentType := echo.MIMEOctetStream
	if given := r.Header.Get(echo.HeaderContentType); given != "" {
		mediaType, parameters, err := mime.ParseMediaType(given)
		switch {
		case err != nil || len(given) > file.MaxNameBytes:
			return file.File{}, &unsupportedMediaTypeError{"The Content-Type is not a media type, such as text/csv."}
		case mediaType == echo.MIMEMultipartForm, mediaType == echo.MIMEApplicationForm:
			return file.File{}, &unsupportedMediaTypeError{
				"Send the content of the file itself as the body, not a form, with its own Content-Type, such as application/octet-stream. With curl: -X POST -T FILE.",
			}
		}
		contentType = mime.FormatMediaType(mediaType, parameters)
	}
	if r.ContentLength > file.MaxBytes {
		return file.File{}, errFileTooLarge
	}
	return file.File{ID: id.New(id.File), Tenant: tenantID(c), Name: name, ContentType: contentType}, nil
}

// checkOrigin rejects an upload that a page of a foreign origin makes a browser send. Other operations take JSON, for
// which a browser asks first (CORS); for a text file it does not.
func (s *Server) checkOrigin(r *http.Request) error {
	if slices.Contains(s.config.Origins, "*") {
		return nil
	}
	protection := http.NewCrossOriginProtection()
	for _, origin := range s.config.Origins {
		_ = protection.AddTrustedOrigin(origin) // one that is no origin allows nothing
	}
	if protection.Check(r) != nil {
		return errCrossOrigin
	}
	return nil
}

// checkFileName says why a file cannot have a name; empty if it can.
func checkFileName(name string) string {
	switch {
	case strings.TrimSpace(name) == "":
		return "must contain text"
	case len(name) > file.MaxNameBytes:
		return fmt.Sprintf("has %d bytes; at most %d are accepted", len(name), file.MaxNameBytes)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl):
		return "must be text in UTF-8 without control characters"
	case strings.ContainsAny(name, `/\`) || name == "." || name == "..":
		return "must be the name of a file, without a folder"
	default:
		return ""
	}
}

var errFileTooLarge = &contentTooLargeError{detail: fmt.Sprintf("A file has at most %d bytes.", file.MaxBytes)}

// uploadBody remembers the error of the client's part of an upload.
type uploadBody struct {
	io.Reader
	err error
}

func (b *uploadBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// uploadError says why the body of an upload could not be read.
func uploadError(err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errFileTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.Join(errBodyStalled, invalidField("body", "did not arrive in time: the client stopped sending, or is too slow"))
	}
	return invalidField("body", "is incomplete: the client stopped sending before its end")
}

// abandonUpload deletes what an upload has stored. If that fails, the janitor does it.
func (s *Server) abandonUpload(c echo.Context, f *file.File) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Request().Context()), storeTimeout)
	defer cancel()
	err := s.config.Artifacts.DeleteContent(ctx, blob.UploadKey(f.Tenant, f.ID))
	if err == nil {
		err = s.stores.Files.AbandonFile(ctx, f.Tenant, f.ID)
	}
	if err != nil {
		s.log.Warn("could not delete the content of an interrupted upload; the janitor does", zap.String("request", requestID(c)), zap.Error(err))
	}
}

// ListFiles returns a page of the tenant's files.
func (s *Server) ListFiles(c echo.Context, params contract.ListFilesParams) error {
	files, next, err := readPage(c, pageParams{params.Limit, params.Cursor}, s.stores.Files.Files,
		func(f file.File) cursorPosition { return timePosition(f.CreatedAt, f.ID) })
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, contract.FileList{Files: viewAll(files, viewFile), NextCursor: next})
}

// GetFile returns what is known of a file.
func (s *Server) GetFile(c echo.Context, fileID contract.ID) error {
	f, err := s.readFile(c, fileID)
	if err != nil {
		return err
	}
	return respondJSON(c, http.StatusOK, viewFile(f))
}

// GetFileContent sends the content of a file. A browser downloads it and never runs it.
func (s *Server) GetFileContent(c echo.Context, fileID contract.ID) error {
	f, err := s.readFile(c, fileID)
	if err != nil {
		return err
	}
	return s.serveDownload(c, f.Name, artifact{blob.UploadKey(f.Tenant, f.ID), f.Content, echo.MIMEOctetStream})
}

// DeleteFile deletes a file. Work that was accepted with it keeps its content.
func (s *Server) DeleteFile(c echo.Context, fileID contract.ID) error {
	if err := checkID(id.File, fileID); err != nil {
		return err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	if err := s.stores.Files.DeleteFile(ctx, tenantID(c), fileID); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

func (s *Server) readFile(c echo.Context, fileID string) (file.File, error) {
	if err := checkID(id.File, fileID); err != nil {
		return file.File{}, err
	}
	ctx, cancel := storeContext(c)
	defer cancel()
	return s.stores.Files.File(ctx, tenantID(c), fileID)
}
