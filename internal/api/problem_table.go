package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/quota"
	"github.com/airlock-run/airlock/internal/store"
)

// problemRow maps one kind of error to its problem.
type problemRow struct {
	status  int // 0: explain sets it
	code    contract.ProblemCode
	explain func(error) (problem, bool) // false: the row does not match
}

// problemTable maps every error that can end a request to what the caller is told. The first row that matches counts;
// the last row matches everything. No other file names a problem code.
var problemTable = []problemRow{
	// Errors of the API itself.
	{http.StatusBadRequest, contract.ProblemInvalidRequest, forType(explainInvalidRequest)},
	{http.StatusForbidden, contract.ProblemInsufficientScope, forType(explainInsufficientScope)},
	{http.StatusForbidden, contract.ProblemHostNotAllowed, forError(errHostNotAllowed,
		"Without authentication this server answers to localhost only. Call it as localhost or 127.0.0.1.")},
	{http.StatusForbidden, contract.ProblemHostNotAllowed, forError(errCrossOrigin,
		"A web page of an origin that AIRLOCK_CORS_ORIGINS does not allow sends this request.")},
	{http.StatusConflict, contract.ProblemAPIKeysDisabled, forError(errAPIKeysDisabled,
		"API keys are disabled on this server. AIRLOCK_AUTH_MODE=keys enables them.")},
	{http.StatusConflict, contract.ProblemVersionConflict, forType(func(e *versionConflictError) problem {
		return problem{Detail: fmt.Sprintf("The %s has version %d; this change is based on version %d. Read the %s and change it again.",
			e.resource, e.newest, e.expected, e.resource)}
	})},
	{http.StatusConflict, contract.ProblemBatchNotFinished, forError(errBatchNotFinished,
		"The batch has not finished. Wait for its end, or cancel it.")},
	{http.StatusConflict, contract.ProblemNoWorkspace, forError(store.ErrNoWorkspace,
		"The execution has no workspace: it has not finished, or its files were not stored; see its workspace.lost.")},
	{http.StatusConflict, contract.ProblemNothingToRetry, forError(errNoFailedInput,
		"No input of the batch failed or timed out.")},
	{http.StatusRequestEntityTooLarge, contract.ProblemContentTooLarge, forType(func(e *contentTooLargeError) problem {
		return problem{Detail: e.detail, Errors: e.fields}
	})},
	{http.StatusUnsupportedMediaType, contract.ProblemUnsupportedMediaType, forType(func(e *unsupportedMediaTypeError) problem {
		return problem{Detail: e.detail}
	})},
	{http.StatusUnprocessableEntity, contract.ProblemIdempotencyKeyReused, forError(errIdempotencyKeyReused,
		"Another request was made with this Idempotency-Key within the last 24 hours. Use a new key for a new request.")},
	{http.StatusUnprocessableEntity, contract.ProblemPromptDenied, forType(func(e *promptDeniedError) problem {
		return problem{
			Detail: fmt.Sprintf("The operator's rule %q denies this %s.", e.rule, e.field),
			Errors: []contract.FieldError{fieldError(e.field, fmt.Sprintf("denied by the rule %q", e.rule))},
		}
	})},
	{http.StatusTooManyRequests, contract.ProblemRateLimited, forType(func(e *rateLimitedError) problem {
		seconds := int(math.Ceil(e.wait.Seconds()))
		return problem{Detail: fmt.Sprintf("%s. Try again in %d s.", e.reason, seconds), RetryAfter: seconds}
	})},
	{http.StatusGone, contract.ProblemTranscriptDeleted, forType(explainTranscriptDeleted)},
	{http.StatusServiceUnavailable, contract.ProblemUnavailable, temporarily(forError(errTooManyStreams,
		"This server has as many event streams open as it can serve. Try again in a moment, or poll the execution."))},
	{http.StatusServiceUnavailable, contract.ProblemUnavailable, temporarily(forError(errTooManyUploads,
		"This server receives as many files as it can at the same time. Try again in a moment."))},

	// Errors of authentication.
	{http.StatusUnauthorized, contract.ProblemUnauthenticated, forType(explainUnauthenticated)},

	// Errors of the domain, the quota and the store.
	{http.StatusNotFound, contract.ProblemNotFound, forType(func(e *store.NotFoundError) problem {
		return problem{Detail: fmt.Sprintf("There is no %s %q.", e.Resource, e.ID)}
	})},
	{http.StatusConflict, contract.ProblemAgentMismatch, forError(store.ErrAgentMismatch,
		"The conversation is with another agent. Leave agentId out to continue it, or conversationId to start one with this agent.")},
	{http.StatusConflict, contract.ProblemExecutionNotFinished, forError(execution.ErrNotFinished,
		"The execution has not finished. Wait for its end, or cancel it.")},
	{http.StatusConflict, contract.ProblemNothingToRetry, forError(execution.ErrSucceeded,
		"The execution has succeeded. Run its agent again for another result.")},
	{http.StatusConflict, contract.ProblemDeliveryNotFinished, forError(webhook.ErrNotFinished,
		"The delivery has not finished: another attempt follows. Its dueAt says when.")},
	{http.StatusUnprocessableEntity, contract.ProblemNoConversations, forType(explainNoConversations)},
	{http.StatusTooManyRequests, contract.ProblemTooManyPendingTurns, temporarily(forError(conversation.ErrTooManyPending,
		fmt.Sprintf("%d messages of this conversation wait for their replies. Wait for the first of them.", conversation.MaxPending)))},
	{http.StatusTooManyRequests, contract.ProblemQueueFull, temporarily(forType(func(e *quota.QueueFullError) problem {
		return problem{Detail: fmt.Sprintf("The tenant has %d queued executions, which is its limit. Wait for some of them, or send a batch.", e.Limit)}
	}))},
	{http.StatusTooManyRequests, contract.ProblemDailyBudgetExceeded, forType(func(e *quota.DailyBudgetExceededError) problem {
		return problem{
			Detail:     fmt.Sprintf("The tenant's daily budget of %g USD is exceeded. A new day begins at midnight UTC.", e.LimitUSD),
			RetryAfter: int(e.RetryAfter/time.Second) + 1,
		}
	})},
	{http.StatusForbidden, contract.ProblemFileStorageFull, forType(func(e *quota.FileStorageFullError) problem {
		return problem{Detail: e.Error() + " Delete files. The content of a deleted file counts until no execution needs it, and for 10 minutes."}
	})},

	// Errors of the storage of files and large results.
	{http.StatusGone, contract.ProblemArtifactLost, forError(blob.ErrLost,
		"The content is missing from storage or was changed. Retry the execution to produce it again.")},
	{http.StatusServiceUnavailable, contract.ProblemUnavailable, temporarily(forError(blob.ErrUnavailable,
		"The storage of files and large results does not answer. Try again in a moment."))},

	// An unavailable store comes after its other errors: clean-up that fails as well must not hide the first error.
	{http.StatusServiceUnavailable, contract.ProblemUnavailable, temporarily(forError(store.ErrUnavailable, storeUnavailable))},
	{http.StatusServiceUnavailable, contract.ProblemUnavailable, temporarily(forError(context.DeadlineExceeded, storeUnavailable))},

	// Errors of the router and of the generated code.
	{http.StatusNotFound, contract.ProblemRouteNotFound, forStatus(http.StatusNotFound,
		"No route has this path. GET /openapi.json lists the routes.")},
	{http.StatusMethodNotAllowed, contract.ProblemMethodNotAllowed, forStatus(http.StatusMethodNotAllowed,
		"The path does not have this method. The Allow header lists its methods.")},
	{http.StatusBadRequest, contract.ProblemInvalidRequest, forHTTPError(func(e *echo.HTTPError) (problem, bool) {
		return problem{Detail: fmt.Sprint(e.Message)}, e.Code == http.StatusBadRequest
	})},
	{0, contract.ProblemRequestRefused, forHTTPError(func(e *echo.HTTPError) (problem, bool) {
		return problem{Status: e.Code, Detail: http.StatusText(e.Code)}, e.Code != http.StatusInternalServerError
	})},

	// All other errors, and panics.
	{http.StatusInternalServerError, contract.ProblemInternal, func(error) (problem, bool) {
		return problem{Detail: "The server failed. It has logged the reason under the ID of the request (X-Request-Id)."}, true
	}},
}

const storeUnavailable = "The database does not answer. Try again in a moment. A POST may have been stored; " +
	"with an Idempotency-Key it can be sent again safely."

// unavailableRetrySeconds is the Retry-After of problems that may pass at any time.
const unavailableRetrySeconds = 2

// forError explains a sentinel error.
func forError(target error, detail string) func(error) (problem, bool) {
	return func(err error) (problem, bool) { return problem{Detail: detail}, errors.Is(err, target) }
}

// forType explains an error by its type.
func forType[E error](explain func(E) problem) func(error) (problem, bool) {
	return func(err error) (problem, bool) {
		var target E
		if !errors.As(err, &target) {
			return problem{}, false
		}
		return explain(target), true
	}
}

// forHTTPError explains an error that echo returns.
func forHTTPError(explain func(*echo.HTTPError) (problem, bool)) func(error) (problem, bool) {
	return func(err error) (problem, bool) {
		var target *echo.HTTPError
		if !errors.As(err, &target) {
			return problem{}, false
		}
		return explain(target)
	}
}

func forStatus(status int, detail string) func(error) (problem, bool) {
	return forHTTPError(func(e *echo.HTTPError) (problem, bool) { return problem{Detail: detail}, e.Code == status })
}

// temporarily adds a short Retry-After.
func temporarily(explain func(error) (problem, bool)) func(error) (problem, bool) {
	return func(err error) (problem, bool) {
		p, ok := explain(err)
		p.RetryAfter = unavailableRetrySeconds
		return p, ok
	}
}

func explainNoConversations(e *store.NoConversationsError) problem {
	advice := "Run the agent instead (POST /agents/{id}/run), choose another runtime for it, or ask the operator to declare conversation for this one."
	if e.Builder {
		advice = "It is that of the agent builder: the operator has to choose another (AIRLOCK_DEFAULT_RUNTIME)."
	}
	return problem{Detail: fmt.Sprintf("The runtime %q does not pass earlier messages on, so its agents take part in no conversation. %s", e.Runtime, advice)}
}

func explainTranscriptDeleted(e *transcriptDeletedError) problem {
	what := "expired"
	if e.deleted {
		what = "was deleted"
	}
	return problem{Detail: fmt.Sprintf("The transcript %s at %s: its retention, a setting of the agent or the tenant, is over. The execution is still there.",
		what, e.at.UTC().Format(time.RFC3339))}
}

func explainInvalidRequest(e *invalidRequestError) problem {
	return problem{Detail: fmt.Sprintf("%s: %s.", e.fields[0].Field, e.fields[0].Detail), Errors: e.fields}
}

// explainUnauthenticated asks the caller for credentials (RFC 6750).
func explainUnauthenticated(e *auth.UnauthenticatedError) problem {
	challenge := `Bearer realm="airlock"`
	if e.CredentialsPresent {
		challenge += `, error="invalid_token"`
	}
	return problem{Detail: e.Reason, Challenge: challenge}
}

func explainInsufficientScope(e *insufficientScopeError) problem {
	names := make([]string, len(e.missing))
	for i, scope := range e.missing {
		names[i] = string(scope)
	}
	return problem{
		Detail:    fmt.Sprintf("This needs the scope %s, which the caller does not have.", strings.Join(names, ", ")),
		Challenge: fmt.Sprintf(`Bearer realm="airlock", error="insufficient_scope", scope=%q`, strings.Join(names, " ")),
	}
}
