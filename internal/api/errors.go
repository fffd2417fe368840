package api

import (
	"errors"
	"fmt"
	"time"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/tenant"
)

// The errors with which the API itself rejects a request. problemTable says what the caller is told of each.
var (
	errAPIKeysDisabled      = errors.New("API keys are disabled")
	errBatchNotFinished     = errors.New("the batch has not finished")
	errHostNotAllowed       = errors.New("the request names a host other than localhost")
	errIdempotencyKeyReused = errors.New("another request has the same idempotency key")
	errNoFailedInput        = errors.New("no input of the batch failed or timed out")
	errBodyStalled          = errors.New("the client stopped sending")
	errCrossOrigin          = errors.New("another web page sends the request")
	errTooManyUploads       = errors.New("the limit of uploads is reached")
	errTooManyStreams       = errors.New("the limit of open event streams is reached")
)

// invalidRequestError names the fields of a request that are wrong.
type invalidRequestError struct{ fields []contract.FieldError }

func (e *invalidRequestError) Error() string { return fmt.Sprintf("invalid request: %v", e.fields) }

// invalidFields returns nil if there are no field errors.
func invalidFields(fields []contract.FieldError) error {
	if len(fields) == 0 {
		return nil
	}
	return &invalidRequestError{fields}
}

func invalidField(field, detail string) error {
	return &invalidRequestError{[]contract.FieldError{fieldError(field, detail)}}
}

func fieldError(field, detail string) contract.FieldError {
	return contract.FieldError{Field: field, Detail: detail}
}

// transcriptDeletedError means that the retention of a transcript has ended.
type transcriptDeletedError struct {
	at      time.Time
	deleted bool // false: it is deleted soon, and cannot be read any more
}

func (e *transcriptDeletedError) Error() string {
	return "the transcript was deleted at " + e.at.String()
}

// contentTooLargeError means that a body, or a part of it, is larger than its limit.
type contentTooLargeError struct {
	detail string
	fields []contract.FieldError // the part; none: the body
}

func (e *contentTooLargeError) Error() string { return e.detail }

// unsupportedMediaTypeError means that a body has another type or encoding than the operation accepts.
type unsupportedMediaTypeError struct{ detail string }

func (e *unsupportedMediaTypeError) Error() string { return e.detail }

// insufficientScopeError names the scopes that the caller lacks.
type insufficientScopeError struct{ missing []tenant.Scope }

func (e *insufficientScopeError) Error() string { return fmt.Sprintf("missing scopes %v", e.missing) }

// rateLimitedError means that the caller has to wait. The reason is a sentence without its period.
type rateLimitedError struct {
	reason string
	wait   time.Duration
}

func (e *rateLimitedError) Error() string { return e.reason }

// promptDeniedError means that a rule of the operator denies a text of the request.
type promptDeniedError struct{ field, rule string }

func (e *promptDeniedError) Error() string { return fmt.Sprintf("rule %q denies %s", e.rule, e.field) }
