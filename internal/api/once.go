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
func (s *Server) once(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		key := r.Header.Get(headerIdempotencyKey)
		if op := operation(c); key == "" || op == nil || !op.Takes(headerIdempotencyKey) {
			return next(c)
		}
		request := sha256.New()
		fmt.Fprintf(request, "%s %s\n", r.Method, r.URL.Path)
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(r.Body, request), r.Body}
		asked := &store.Asked{
			Owner: owner(c), Key: key, Answer: answerTo,
			Request: func() []byte {
				_, _ = io.Copy(io.Discard, http.MaxBytesReader(c.Response(), r.Body, maxBatch)) // what nobody has read; one that breaks off is another request
				return request.Sum(nil)
			},
		}
		ctx, cancel := storeContext(c)
		defer cancel()
		err := s.store.Answered(ctx, asked.Owner, key)
		if err == nil {
			c.SetRequest(r.WithContext(store.WithAsked(r.Context(), asked)))
			err = next(c)
		}
		var before *store.RepeatedError
		if !errors.As(err, &before) {
			return err
		}
		if !bytes.Equal(before.Request, asked.Request()) {
			return &problem{Status: http.StatusUnprocessableEntity, Code: contract.ProblemKeyReused,
				Detail: "Another request was made with this Idempotency-Key within the last 24 hours. Use a new key for a new request."}
		}
		c.Response().Header().Set(headerReplayed, "true")
		return write(c, before.Answer)
	}
}

// answerTo is what the client is told of what it has made.
func answerTo(made any) (store.Answer, error) {
	var a store.Answer
	var view any
	switch made := made.(type) {
	case execution.Change:
		accepted := viewAccepted(made.Execution)
		a, view = store.Answer{Status: http.StatusAccepted, Location: accepted.Urls.Self}, accepted
	case batch.Batch:
		b := viewBatch(made)
		a, view = store.Answer{Status: http.StatusAccepted, Location: b.Urls.Self}, b
	case agent.Agent:
		a, view = store.Answer{Status: http.StatusCreated, Location: "/agents/" + made.ID}, viewAgent(made)
	default:
		return a, fmt.Errorf("there is no answer to the making of %T", made)
	}
	var err error
	a.Body, err = marshal(view)
	return a, err
}

// made answers the request that has made something.
func made(c echo.Context, what any) error {
	a, err := answerTo(what)
	if err != nil {
		return err
	}
	return write(c, a)
}

func write(c echo.Context, a store.Answer) error {
	c.Response().Header().Set(echo.HeaderLocation, a.Location)
	return c.Blob(a.Status, echo.MIMEApplicationJSON, a.Body)
}
