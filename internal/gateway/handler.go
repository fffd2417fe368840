package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/airlock-run/airlock/internal/supervise"
)

// ServeHTTP handles one request from the sandbox. It waits until the endpoint's rate allows the request. A panic ends
// this request only.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !e.beginRequest() {
		panic(http.ErrAbortHandler)
	}
	defer e.endRequest()
	if e.requestRate.Wait(e.ctx) != nil {
		panic(http.ErrAbortHandler) // the endpoint is closed
	}
	e.requestCount.Add(1)
	began := time.Now()
	rec := accessRecord{target: r.Method + " " + quote(r.RequestURI)}
	panicked := e.handle(w, r, &rec)
	responded := rec.status != 0
	if panicked != nil {
		e.log.Error("egress request panicked", zap.Error(panicked))
		if !responded {
			e.deny(w, &rec, errInternal)
		}
	}
	rec.countMetrics()
	e.log.Info("egress", rec.fields(time.Since(began))...)
	if panicked != nil && responded || rec.broken {
		panic(http.ErrAbortHandler) // the response is incomplete, so the connection must end
	}
}

// handle answers one request. It returns an error only for a panic.
func (e *Endpoint) handle(w http.ResponseWriter, r *http.Request, rec *accessRecord) (panicked error) {
	defer supervise.RecoverTo(&panicked)
	route, ok := e.policy.findRoute(r)
	switch {
	case !ok || len(r.Header["Upgrade"]) > 0:
		e.deny(w, rec, forbidden("this request is not a route of the runtime"))
	case route.Local:
		rec.status = http.StatusOK
		w.WriteHeader(http.StatusOK)
	default:
		e.forward(w, r, route, rec)
	}
	return nil
}

// forward inspects one request, sends it upstream, and records its usage.
func (e *Endpoint) forward(w http.ResponseWriter, r *http.Request, route Route, rec *accessRecord) {
	body, releaseBody, err := e.readBody(w, r)
	if err != nil {
		e.deny(w, rec, err)
		return
	}
	defer releaseBody()
	info, err := inspect(body, e.gateway.spec)
	if err != nil {
		e.deny(w, rec, err)
		return
	}
	rec.model, rec.bytesSent = info.model, info.bytes
	if !slices.Contains(e.policy.Models, info.model) {
		e.deny(w, rec, forbidden("the model "+quote(info.model)+" is not allowed"))
		return
	}
	if err := e.budget.reserve(info); err != nil {
		e.deny(w, rec, err)
		return
	}

	ctx, release := e.callContext(r.Context())
	defer release()
	span := e.startSpan(info)
	defer endSpan(span, rec)
	x := exchange{endpoint: e, w: w, rec: rec, toStream: info.stream, sent: new(atomic.Bool)}
	defer func() { // also after a panic, or the reservation would stay
		tokens, estimated := x.finalTokens(info)
		rec.upstream, rec.tries = true, x.tries
		rec.usage = callUsage{
			status: x.status, model: x.counter.model, tokens: tokens, estimated: estimated, bytesReceived: x.written,
		}
		rec.cost = e.budget.commit(info, rec.usage)
	}()
	x.run(ctx, r, route, body)
}

// Reasons why a call ends before its response is complete.
var (
	errCallTimeout      = errors.New("the response took too long")
	errStalled          = errors.New("the response stalled")
	errStreamCut        = errors.New("the stream ended before its last event")
	errResponseTooLarge = errors.New("the response is too large")
	errCallEnded        = errors.New("the call has ended")

	errInternal = denialError{http.StatusInternalServerError, "api_error", "the gateway failed", true}
)

// callContext returns the context of one call. It ends with the sandbox's connection or with the endpoint. release
// frees its resources and must always be called.
func (e *Endpoint) callContext(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	detach := context.AfterFunc(e.ctx, func() { cancel(errEndpointClosed) })
	return ctx, func() {
		detach()
		cancel(errCallEnded)
	}
}

// readBody reads the complete body, when the endpoint's rate of bytes allows it. The request must declare its length,
// so that the total size of all bodies of an endpoint is limited before they are read. release returns the body's share
// of that limit.
func (e *Endpoint) readBody(w http.ResponseWriter, r *http.Request) (body []byte, release func(), err error) {
	limit := e.gateway.config.MaxRequestSize
	switch {
	case len(r.Header["Content-Encoding"]) > 0:
		return nil, nil, invalidRequest("encoded bodies are not allowed")
	case r.ContentLength < 0:
		return nil, nil, denialError{http.StatusLengthRequired, "invalid_request_error", "the body's length is missing", false}
	case r.ContentLength > limit:
		return nil, nil, denialError{http.StatusRequestEntityTooLarge, "request_too_large", "the body is too large", false}
	}
	if err := e.bodyRate.WaitN(e.ctx, int(r.ContentLength)); err != nil {
		return nil, nil, err // the endpoint is closed
	}
	if !e.bodyBytes.TryAcquire(r.ContentLength) {
		return nil, nil, rateLimited("too many large requests at the same time")
	}
	release = func() { e.bodyBytes.Release(r.ContentLength) }
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(e.gateway.config.BodyTimeout)); err != nil {
		release()
		return nil, nil, err
	}
	body, err = io.ReadAll(r.Body)
	if err == nil {
		// If the deadline stayed, it would later cancel the request's context.
		err = control.SetReadDeadline(time.Time{})
	}
	if err != nil {
		release()
		return nil, nil, invalidRequest("the body could not be read")
	}
	return body, release, nil
}

func (e *Endpoint) deny(w http.ResponseWriter, rec *accessRecord, err error) {
	var d denialError
	if !errors.As(err, &d) {
		d = errInternal
		rec.cause = err
	}
	e.budget.recordDenial(d.message)
	rec.status, rec.denied = d.status, d.message
	// The unread part of the body would be read as the next request.
	w.Header().Set("Connection", "close")
	d.write(w)
}
