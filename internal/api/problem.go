package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/api/contract"
)

// problem is an error response (RFC 9457). Code is the reason for programs; Detail tells people what to do. Neither
// contains internals.
type problem struct {
	Status     int
	Code       contract.ProblemCode
	Detail     string
	Errors     []contract.FieldError
	RetryAfter int    // seconds for Retry-After; 0: no such header
	Challenge  string // for WWW-Authenticate; empty: no such header
}

// problemFor returns what the caller is told of an error: the first row of problemTable that matches.
func problemFor(err error) problem {
	for _, row := range problemTable {
		if p, ok := row.explain(err); ok {
			p.Code = row.code
			if row.status != 0 {
				p.Status = row.status
			}
			return p
		}
	}
	panic("the last row of problemTable matches every error")
}

// statusClientClosedRequest is the status, in logs and metrics, of a request whose client disconnected before the
// response. The number is nginx's.
const statusClientClosedRequest = 499

// clientDisconnected reports whether a request failed because its client disconnected. A failure of the server at the
// same time is still one of the server.
func clientDisconnected(c echo.Context, err error) bool {
	// The context has no deadline. A client that stalls ends it as well, and still reads.
	if c.Request().Context().Err() == nil || errors.Is(err, errBodyStalled) {
		return false
	}
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return true
	}
	switch status.Code(err) { // Google's clients do not return the errors of the context
	case codes.Canceled, codes.DeadlineExceeded:
		return true
	default:
		return problemFor(err).Status < http.StatusInternalServerError
	}
}

// handleError writes an error as a problem. It logs the error if the server is at fault.
func (s *Server) handleError(err error, c echo.Context) {
	if clientDisconnected(c, err) {
		if !c.Response().Committed { // nobody reads a response
			c.Response().Status = statusClientClosedRequest
		}
		return
	}
	if c.Response().Committed {
		// A response that ends normally here would look complete.
		s.log.Warn("response aborted", zap.String("request", requestID(c)), zap.String("path", c.Request().URL.Path), zap.Error(err))
		panic(http.ErrAbortHandler)
	}
	p := problemFor(err)
	if p.Status >= http.StatusInternalServerError {
		s.log.Error("request failed", zap.String("request", requestID(c)), zap.String("method", c.Request().Method),
			zap.String("path", c.Request().URL.Path), zap.Error(err))
	}
	if p.RetryAfter > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(p.RetryAfter))
	}
	if p.Challenge != "" {
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, p.Challenge)
	}
	body := contract.Problem{
		Type: "about:blank", Title: http.StatusText(p.Status), Status: p.Status,
		Detail: p.Detail, Instance: c.Request().URL.Path, Code: p.Code, Errors: p.Errors,
	}
	if err := writeJSON(c, p.Status, "application/problem+json", body); err != nil {
		s.log.Debug("could not write the problem response", zap.Error(err))
	}
}
