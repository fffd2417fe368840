package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"
)

// ServeHTTP handles one request of the sandbox.
func (s *Session) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		panic(http.ErrAbortHandler)
	}
	defer s.calls.Done()
	began := time.Now()
	rec := record{target: r.Method + " " + quote(r.RequestURI)}

	route, ok := s.policy.route(r)
	switch {
	case !ok || len(r.Header["Upgrade"]) > 0:
		s.deny(w, &rec, forbidden("this request is not one that the runtime may make"))
	case route.Local:
		rec.status = http.StatusOK
		w.WriteHeader(http.StatusOK)
	default:
		s.call(w, r, route, &rec)
	}
	rec.count()
	s.log.Info("egress", rec.fields(time.Since(began))...)
}

// call takes one request upstream.
func (s *Session) call(w http.ResponseWriter, r *http.Request, route Route, rec *record) {
	body, forget, err := s.body(w, r)
	if err != nil {
		s.deny(w, rec, err)
		return
	}
	defer forget()
	a, err := inspect(body, s.gateway.api)
	if err != nil {
		s.deny(w, rec, err)
		return
	}
	rec.model, rec.bytesIn = a.model, a.bytes
	if !slices.Contains(s.policy.Models, a.model) {
		s.deny(w, rec, forbidden("the model "+quote(a.model)+" is not allowed"))
		return
	}
	if err := s.bill.admit(a); err != nil {
		s.deny(w, rec, err)
		return
	}

	ctx, end, release := s.callContext(r.Context())
	defer release()
	span := s.startSpan(a)
	defer endSpan(span, rec)
	x := exchange{session: s, w: w, end: end, rec: rec}
	x.run(ctx, r, route, body)
	tokens, estimated := x.settled(a)
	rec.upstream = true
	rec.receipt = receipt{
		status: x.status, model: x.meter.model, tokens: tokens, estimated: estimated, bytesOut: x.written,
	}
	rec.cost = s.bill.settle(a, rec.receipt)
}

// Causes for which a call ends before its answer does.
var (
	errCallTimeout = errors.New("the answer took too long in all")
	errStalled     = errors.New("the answer stalled")
	errAnswerSize  = errors.New("the answer is too large")
	errDone        = errors.New("the call has ended")
)

// callContext ends with the sandbox's connection, the session, or the call's
// time. The call ends it early with end, and always with release.
func (s *Session) callContext(parent context.Context) (ctx context.Context, end context.CancelCauseFunc, release func()) {
	ctx, end = context.WithCancelCause(parent)
	detach := context.AfterFunc(s.ctx, func() { end(errSessionClosed) })
	ctx, stop := context.WithTimeoutCause(ctx, s.gateway.settings.CallTimeout, errCallTimeout)
	return ctx, end, func() {
		detach()
		stop()
		end(errDone)
	}
}

// body reads the whole body, whose length the sandbox has to tell first, so
// that all bodies of a session together stay within bounds.
func (s *Session) body(w http.ResponseWriter, r *http.Request) (body []byte, forget func(), err error) {
	limit := s.gateway.settings.MaxRequest
	switch {
	case len(r.Header["Content-Encoding"]) > 0:
		return nil, nil, invalid("encoded bodies are not allowed")
	case r.ContentLength < 0:
		return nil, nil, denialError{http.StatusLengthRequired, "invalid_request_error", "the body's length is missing", false}
	case r.ContentLength > limit:
		return nil, nil, denialError{http.StatusRequestEntityTooLarge, "request_too_large", "the body is too large", false}
	case !s.bodies.TryAcquire(r.ContentLength):
		return nil, nil, busy("too many large requests at a time")
	}
	forget = func() { s.bodies.Release(r.ContentLength) }
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(s.gateway.settings.BodyTimeout)); err != nil {
		forget()
		return nil, nil, err
	}
	body, err = io.ReadAll(r.Body)
	if err == nil {
		// A deadline left behind would end the request's context later.
		err = control.SetReadDeadline(time.Time{})
	}
	if err != nil {
		forget()
		return nil, nil, invalid("the body could not be read")
	}
	return body, forget, nil
}

func (s *Session) deny(w http.ResponseWriter, rec *record, err error) {
	var d denialError
	if !errors.As(err, &d) {
		d = denialError{http.StatusInternalServerError, "api_error", "the gateway failed", true}
		rec.cause = err
	}
	s.bill.deny(d.message)
	rec.status, rec.denied = d.status, d.message
	// What was not read of the body would be taken for the next request.
	w.Header().Set("Connection", "close")
	d.write(w)
}
