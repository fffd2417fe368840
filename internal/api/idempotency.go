package api

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/labstack/echo/v4"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/domain/agent"
	"github.com/airlock-run/airlock/internal/domain/batch"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/store"
)

const (
	headerIdempotencyKey = "Idempotency-Key"
	// headerReplayed tells an answer that was given before.
	headerReplayed = "Idempotent-Replayed"
)

// once makes a creation that carries an Idempotency-Key take place once: who
// asks again with the same key and request gets the same answer, whatever has
// become of what was made. It serves all operations whose contract has that
// header; what they are asked for is hashed as they read it.
func (s *Server) idempotent(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		idempotencyKey := r.Header.Get(headerIdempotencyKey)
		if op := operationOf(c); idempotencyKey == "" || op == nil || !op.AcceptsHeader(headerIdempotencyKey) {
			return next(c)
		}
		requestHash := sha256.New()
		fmt.Fprintf(requestHash, "%s %s\n", r.Method, r.URL.Path)
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, requestHash), r.Body}
		idempotencyRequest := &store.IdempotencyRequest{
			Tenant: tenantID(c), Key: idempotencyKey, Response: responseFor,
			Fingerprint: func() []byte {
				_, _ = io.Copy(io.Discard, http.MaxBytesReader(c.Response(), r.Body, maxBatchBytes)) // what nobody has read; one that breaks off is another request
				return requestHash.Sum(nil)
			},
		}
		ctx, cancel := storeContext(c)
		defer cancel()
		err := s.store.CheckIdempotencyKey(ctx, idempotencyRequest.Tenant, idempotencyKey)
		if err == nil {
			c.SetRequest(r.WithContext(store.WithIdempotency(r.Context(), idempotencyRequest)))
			err = next(c)
		}
		var repeated *store.DuplicateRequestError
		if !errors.As(err, &repeated) {
			return err
		}
		if !bytes.Equal(repeated.Fingerprint, idempotencyRequest.Fingerprint()) {
			return &problem{Status: http.StatusUnprocessableEntity, Code: contract.ProblemIdempotencyKeyReused,
				Detail: "Another request was made with this Idempotency-Key within the last 24 hours. Use a new key for a new request."}
		}
		c.Response().Header().Set(headerReplayed, "true")
		return writeStoredResponse(c, repeated.Response)
	}
}

// answerTo is what the client is told of what it has made.
func responseFor(created any) (store.StoredResponse, error) {
	var a store.StoredResponse
	var view any
	switch created := created.(type) {
	case execution.Change:
		accepted := viewAccepted(created.Execution)
		a, view = store.StoredResponse{Status: http.StatusAccepted, Location: accepted.Urls.Self}, accepted
	case batch.Batch:
		b := viewBatch(created)
		a, view = store.StoredResponse{Status: http.StatusAccepted, Location: b.Urls.Self}, b
	case agent.Agent:
		a, view = store.StoredResponse{Status: http.StatusCreated, Location: "/agents/" + created.ID}, viewAgent(created)
	default:
		return a, fmt.Errorf("there is no answer to the making of %T", created)
	}
	var err error
	a.Body, err = marshalJSON(view)
	return a, err
}

// made answers the request that has made something.
func respondCreated(c echo.Context, created any) error {
	a, err := responseFor(created)
	if err != nil {
		return err
	}
	return writeStoredResponse(c, a)
}

func writeStoredResponse(c echo.Context, a store.StoredResponse) error {
	c.Response().Header().Set(echo.HeaderLocation, a.Location)
	return c.Blob(a.Status, echo.MIMEApplicationJSON, a.Body)
}
