package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// exchange is one call: upstream requests until one of them has an answer, and the response to the sandbox.
type exchange struct {
	endpoint *Endpoint
	w        http.ResponseWriter
	rec      *accessRecord
	toStream bool // the request asks for a stream

	tries   int   // so far
	wait    *wait // nil: no try has failed
	gaveUp  bool  // the limit of waiting is reached
	counter tokenCounter
	written int64 // bytes written to the sandbox

	// Of the last try:
	cancel   context.CancelCauseFunc
	status   int          // as Summary.LastStatus
	sent     *atomic.Bool // the complete request may have been sent, so the provider may process it
	stream   bool         // the response is a stream, or, before it has begun, is to be one
	rejected bool         // the provider responded with an error
	stopped  bool         // the sandbox or the gateway ended the call, not the provider; true until the provider has
}

// run repeats the request while the provider fails in a way that may pass. A wait ends with ctx.
func (x *exchange) run(ctx context.Context, r *http.Request, route Route, body []byte) {
	defer func() { x.endWait(time.Now()) }()
	for {
		delay, again := x.try(ctx, r, route, body)
		if !again {
			return
		}
		next := time.NewTimer(delay)
		select {
		case <-ctx.Done():
			next.Stop()
			x.rec.cause, x.rec.broken = context.Cause(ctx), true
			return
		case <-next.C:
		}
	}
}

// try sends the request one time and forwards the response. If there is to be another try, it forwards nothing and
// returns the delay until then; this one costs nothing.
func (x *exchange) try(ctx context.Context, r *http.Request, route Route, body []byte) (delay time.Duration, again bool) {
	began := time.Now()
	x.tries++
	x.status, x.stream, x.rejected, x.stopped = 0, x.toStream, false, true
	sent := new(atomic.Bool)
	x.sent = sent
	ctx, x.cancel = context.WithCancelCause(ctx)
	defer x.cancel(errCallEnded)
	ctx, stop := context.WithTimeoutCause(ctx, x.endpoint.gateway.config.CallTimeout, errCallTimeout)
	defer stop()

	var limits drainLimits
	if x.stream {
		limits = x.endpoint.gateway.drain
	}
	upstream := newUpstreamContext(ctx, limits)
	defer upstream.end()
	defer context.AfterFunc(ctx, upstream.begin)()

	request, err := x.endpoint.newUpstreamRequest(upstream, r, route, body, func() { sent.Store(true) })
	if err != nil {
		x.writeError(ctx, err)
		return 0, false
	}
	upstream.setWaiting(true)
	response, err := x.endpoint.gateway.transport.RoundTrip(request)
	upstream.setWaiting(false)
	if err != nil {
		if isConnectionFailure(ctx, err) {
			if delay, again = x.nextTry(0, nil); again {
				x.rejected = true
				return delay, true
			}
		}
		x.endWait(time.Now())
		x.writeError(ctx, err)
		return 0, false
	}
	defer response.Body.Close()
	x.status = response.StatusCode
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	x.rejected = x.status != http.StatusOK
	if IsTemporary(x.status) {
		if delay, again = x.nextTry(x.status, response.Header); again {
			return delay, true
		}
		x.endWait(time.Now())
	}
	x.endWait(began)
	x.stream = kind == "text/event-stream" && !x.rejected
	switch {
	case x.status >= http.StatusMultipleChoices && x.status < http.StatusBadRequest:
		x.writeDenial(badGateway("the model's provider responded with a redirect"))
	case x.status == http.StatusUnauthorized || x.status == http.StatusForbidden:
		// The provider's message may describe the operator's account, so the sandbox does not get it.
		x.writeDenial(denialError{x.status, "authentication_error", "the model's provider rejects the operator's API key", false})
	case x.stream:
		x.forwardStream(ctx, response, upstreamBody{upstream, response.Body})
	default:
		x.forwardBody(ctx, response, upstreamBody{upstream, response.Body})
	}
	return 0, false
}

// forwardedHeaders are the headers of a response that the sandbox receives. The others (rate limits, organization,
// cookies) are about the operator.
var forwardedHeaders = []string{"Content-Type", "Request-Id", "Retry-After", "X-Should-Retry"}

func (x *exchange) writeHeader(response *http.Response) {
	for _, name := range forwardedHeaders {
		if value := response.Header.Get(name); value != "" {
			x.w.Header().Set(name, value)
		}
	}
	if x.gaveUp {
		x.w.Header().Set("X-Should-Retry", "false") // the agent's own retries would come on top
	}
	x.rec.status = response.StatusCode
	x.w.WriteHeader(response.StatusCode)
}

const copyBufferSize = 32 << 10

// forwardStream forwards server-sent events as they arrive. A stream without its last event is cut, however it ended.
func (x *exchange) forwardStream(ctx context.Context, response *http.Response, body io.Reader) {
	x.writeHeader(response)
	err := x.readBody(body, func(part []byte) error {
		_, _ = x.counter.Write(part)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return x.write(ctx, part)
	})
	ended := x.counter.ended
	if err == nil && !ended {
		err = errStreamCut
	}
	if err != nil {
		x.drain(body, err)
	}
	if x.counter.errorStatus != 0 {
		x.status = x.counter.errorStatus
		x.rejected = !x.counter.seen()
	}
	if err != nil && !ended {
		x.endStream(ctx, err)
	}
}

// endStream ends a stream early. If the gateway's own limits end it, so that another try would not help, it sends an
// error event, as the provider does; the blank line in front of it ends an event that may be incomplete. Otherwise it
// breaks the connection, as the network does: an agent repeats such a request, also after a part of the response that
// makes an error event final.
func (x *exchange) endStream(ctx context.Context, err error) {
	d := x.classifyError(ctx, err)
	if cause := x.rec.cause; !errors.Is(cause, errResponseTooLarge) && !errors.Is(cause, errCallTimeout) {
		x.rec.broken = true
		return
	}
	event := append([]byte("\n\nevent: error\ndata: "), d.body()...)
	_ = x.write(context.WithoutCancel(ctx), append(event, "\n\n"...)) // the sandbox may have disconnected
}

// write sends data to the sandbox, for at most IdleTimeout. It fails when ctx ends.
func (x *exchange) write(ctx context.Context, p []byte) error {
	control := http.NewResponseController(x.w)
	if err := control.SetWriteDeadline(time.Now().Add(x.endpoint.gateway.config.IdleTimeout)); err != nil {
		return err
	}
	// A sandbox that does not read would block the write after the end of the call. The server notices a disconnect by
	// itself, but not if the sandbox closes its sending half only.
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		_ = control.SetWriteDeadline(time.Now())
	})
	defer stop() // after a panic
	n, err := x.w.Write(p)
	x.written += int64(n)
	if err == nil {
		err = control.Flush()
	}
	if !stop() {
		<-interrupted // or it would set the deadline of a later write
	}
	if err != nil {
		return err
	}
	// If the deadline stayed, it would apply to the next response on this connection.
	return control.SetWriteDeadline(time.Time{})
}

// forwardBody forwards a response that is not a stream.
func (x *exchange) forwardBody(ctx context.Context, response *http.Response, from io.Reader) {
	var body bytes.Buffer
	err := x.readBody(from, func(part []byte) error {
		_, err := body.Write(part)
		return err
	})
	if err != nil {
		x.counter.content.text = int64(body.Len())
		x.writeError(ctx, err)
		return
	}
	x.stopped = false
	if !x.rejected {
		x.counter.parseBody(body.Bytes())
	}
	x.w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	x.writeHeader(response)
	_ = x.write(context.WithoutCancel(ctx), body.Bytes()) // the sandbox may have disconnected
}

// readBody reads a response body in parts. It fails if the body stalls or becomes too large.
func (x *exchange) readBody(from io.Reader, part func([]byte) error) error {
	config := x.endpoint.gateway.config
	stalled := time.AfterFunc(config.IdleTimeout, func() { x.cancel(errStalled) })
	defer stalled.Stop()
	buffer := make([]byte, copyBufferSize)
	total := int64(0)
	for {
		stalled.Reset(config.IdleTimeout)
		n, err := from.Read(buffer)
		stalled.Stop() // part writes to the sandbox, which has its own deadline
		if total += int64(n); total > config.MaxResponseSize {
			return errResponseTooLarge
		}
		if n > 0 {
			if err := part(buffer[:n]); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// writeError answers a call that has no response from upstream.
func (x *exchange) writeError(ctx context.Context, err error) {
	x.writeDenial(x.classifyError(ctx, err))
}

func (x *exchange) writeDenial(d denialError) {
	d.retry = d.retry && !x.gaveUp
	x.rec.status = d.status
	d.write(x.w)
}

// classifyError finds the reason why a call ended early, from the context's cause or else from err. It records the
// reason for the log, and sets the status of the call and who ended it.
func (x *exchange) classifyError(ctx context.Context, err error) denialError {
	cause := context.Cause(ctx)
	x.stopped = cause != nil || errors.Is(err, errResponseTooLarge)
	if cause != nil {
		err = cause
	}
	x.rec.cause = err
	switch {
	case errors.Is(err, errStalled), errors.Is(err, errCallTimeout):
		x.status = http.StatusGatewayTimeout
		return gatewayTimeout(err.Error())
	case errors.Is(err, errResponseTooLarge):
		x.status = http.StatusBadGateway
		return badGateway(err.Error())
	default:
		x.status = 0
		return badGateway("the model's provider could not be reached")
	}
}

// finalTokens returns the tokens to charge, and whether they are estimated.
func (x *exchange) finalTokens(r requestInfo) (t Tokens, estimated bool) {
	switch {
	case x.counter.complete:
		return x.counter.tokens, false
	case x.rejected || !x.sent.Load():
		return Tokens{}, false
	case x.stopped && !x.stream:
		// The provider does not notice and completes the response, which nobody will count.
		return r.maxUsage(), true
	default:
		return x.counter.estimate(r), true
	}
}
