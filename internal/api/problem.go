package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/quota"
	"github.com/airlock-run/airlock/internal/store"
)

// problem is an answer of RFC 9457. Code is the reason for programs, Detail
// says to people how to mend it; neither holds internals.
type problem struct {
	Status     int
	Code       contract.ProblemCode
	Detail     string
	Errors     []contract.FieldError
	RetryAfter int    // seconds; 0: none
	Challenge  string // how to be let in, for WWW-Authenticate
}

func (p *problem) Error() string { return string(p.Code) + ": " + p.Detail }

// retryWhenUnavailable is after how many seconds a client may try again.
const unavailableRetrySeconds = 2

// explain is the one table from errors to problems.
func problemFor(err error) *problem {
	var (
		p              *problem
		notFound       *store.NotFoundError
		unauthErr      *auth.UnauthenticatedError
		queueFull      *quota.QueueFullError
		budgetExceeded *quota.DailyBudgetExceededError
		httpErr        *echo.HTTPError
	)
	switch {
	case errors.As(err, &p):
		return p
	case errors.As(err, &unauthErr):
		return unauthenticatedProblem(unauthErr)
	case errors.As(err, &notFound):
		return &problem{Status: http.StatusNotFound, Code: contract.ProblemNotFound,
			Detail: fmt.Sprintf("There is no %s %q.", notFound.Resource, notFound.ID)}
	case errors.Is(err, blob.ErrLost):
		return &problem{Status: http.StatusGone, Code: contract.ProblemArtifactLost,
			Detail: "The content is not in storage any more, or is not what the job left. Run the execution again to have it made anew."}
	case errors.Is(err, blob.ErrUnavailable):
		return &problem{Status: http.StatusServiceUnavailable, Code: contract.ProblemUnavailable, RetryAfter: unavailableRetrySeconds,
			Detail: "The storage of files and large results does not answer. Try again in a moment."}
	case errors.Is(err, store.ErrAgentMismatch):
		return &problem{Status: http.StatusConflict, Code: contract.ProblemAgentMismatch,
			Detail: "The conversation is held with another agent. Leave agentId out to continue it, or conversationId to begin one with this agent."}
	case errors.Is(err, execution.ErrNotFinished):
		return &problem{Status: http.StatusConflict, Code: contract.ProblemExecutionNotFinished,
			Detail: "The execution has not ended. Wait for its end, or cancel it."}
	case errors.Is(err, execution.ErrSucceeded):
		return &problem{Status: http.StatusConflict, Code: contract.ProblemNothingToRetry,
			Detail: "The execution has succeeded. Run its agent again for another result."}
	case errors.Is(err, conversation.ErrTooManyPending):
		return &problem{Status: http.StatusTooManyRequests, Code: contract.ProblemTooManyPendingTurns, RetryAfter: unavailableRetrySeconds,
			Detail: fmt.Sprintf("%d messages of this conversation wait for their replies. Wait for the first of them.", conversation.MaxPending)}
	case errors.As(err, &queueFull):
		return &problem{Status: http.StatusTooManyRequests, Code: contract.ProblemQueueFull, RetryAfter: unavailableRetrySeconds,
			Detail: fmt.Sprintf("%d of your executions wait already. Wait for some of them, or send a batch.", queueFull.Limit)}
	case errors.As(err, &budgetExceeded):
		return &problem{Status: http.StatusTooManyRequests, Code: contract.ProblemDailyBudgetExceeded, RetryAfter: int(budgetExceeded.RetryAfter/time.Second) + 1,
			Detail: fmt.Sprintf("The %g USD that you may spend in a day are spent. The next day begins at midnight UTC.", budgetExceeded.LimitUSD)}
	case errors.Is(err, store.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return &problem{Status: http.StatusServiceUnavailable, Code: contract.ProblemUnavailable, RetryAfter: unavailableRetrySeconds,
			Detail: "The database does not answer. Try again in a moment. A POST may have been stored all the same; with an Idempotency-Key it can be sent again safely."}
	case errors.As(err, &httpErr):
		return problemForHTTPError(httpErr)
	default:
		return &problem{Status: http.StatusInternalServerError, Code: contract.ProblemInternal,
			Detail: "Something went wrong on the server. It has been logged under the request's ID."}
	}
}

// ofStatus explains what the router and the generated code refuse.
func problemForHTTPError(err *echo.HTTPError) *problem {
	switch err.Code {
	case http.StatusNotFound:
		return &problem{Status: err.Code, Code: contract.ProblemRouteNotFound, Detail: "There is nothing at this path. GET /openapi.json lists what there is."}
	case http.StatusMethodNotAllowed:
		return &problem{Status: err.Code, Code: contract.ProblemMethodNotAllowed, Detail: "The path does not take this method. The Allow header lists those that it takes."}
	case http.StatusBadRequest:
		return &problem{Status: err.Code, Code: contract.ProblemInvalidRequest, Detail: fmt.Sprint(err.Message)}
	case http.StatusInternalServerError:
		return problemFor(errors.New("panic"))
	default:
		return &problem{Status: err.Code, Code: contract.ProblemRequestRefused, Detail: http.StatusText(err.Code)}
	}
}

// fail writes an error as a problem, and logs what is the server's own fault.
func (s *Server) handleError(err error, c echo.Context) {
	if errors.Is(err, context.Canceled) && c.Request().Context().Err() != nil {
		return // the caller has gone; nobody reads an answer
	}
	if c.Response().Committed {
		// An answer that ended here would look like a whole one.
		s.log.Warn("answer cut short", zap.String("request", requestID(c)), zap.String("path", c.Request().URL.Path), zap.Error(err))
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
	if err := writeJSONAs(c, p.Status, "application/problem+json", body); err != nil {
		s.log.Debug("could not write a problem", zap.Error(err))
	}
}

// invalid is a 400 about fields of the request.
func invalidRequest(errs ...contract.FieldError) *problem {
	detail := "The request is not valid."
	if len(errs) > 0 {
		detail = fmt.Sprintf("%s: %s.", errs[0].Field, errs[0].Detail)
	}
	return &problem{Status: http.StatusBadRequest, Code: contract.ProblemInvalidRequest, Detail: detail, Errors: errs}
}

func fieldError(field, detail string) contract.FieldError {
	return contract.FieldError{Field: field, Detail: detail}
}
