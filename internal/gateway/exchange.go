package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync/atomic"
	"time"
)

// exchange is one request upstream and its answer.
type exchange struct {
	session *Session
	w       http.ResponseWriter
	cancel  context.CancelCauseFunc
	rec     *accessRecord

	meter   usageMeter
	status  int         // as Summary.LastStatus
	written int64       // bytes of the answer
	sent    atomic.Bool // the whole request has left, so that the provider may work on it
}

func (x *exchange) run(ctx context.Context, r *http.Request, route Route, body []byte) {
	traceCtx := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		WroteRequest: func(info httptrace.WroteRequestInfo) { x.sent.Store(info.Err == nil) },
	})
	request, err := x.session.newUpstreamRequest(traceCtx, r, route, body)
	if err != nil {
		x.writeError(ctx, err)
		return
	}
	response, err := x.session.gateway.transport.RoundTrip(request)
	if err != nil {
		x.writeError(ctx, err)
		return
	}
	defer response.Body.Close()
	x.status = response.StatusCode
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	switch {
	case x.status >= http.StatusMultipleChoices && x.status < http.StatusBadRequest:
		x.writeDenial(badGateway("the model's provider answered with a redirect"))
	case x.status == http.StatusUnauthorized || x.status == http.StatusForbidden:
		// The provider's words are about the operator's account.
		x.writeDenial(denialError{x.status, "authentication_error", "the model's provider refuses the operator's API key", false})
	case x.status == http.StatusOK && kind == "text/event-stream":
		x.forwardStream(ctx, response)
	default:
		x.forwardBody(ctx, response)
	}
}

// passed are the headers of an answer that the sandbox gets to see. The rest
// (rate limits, organisation, cookies) is the operator's.
var forwardedHeaders = []string{"Content-Type", "Request-Id", "Retry-After", "X-Should-Retry"}

func (x *exchange) writeHeader(response *http.Response) {
	for _, name := range forwardedHeaders {
		if value := response.Header.Get(name); value != "" {
			x.w.Header().Set(name, value)
		}
	}
	x.rec.status = response.StatusCode
	x.w.WriteHeader(response.StatusCode)
}

const copyBufferSize = 32 << 10

// stream passes server-sent events on as they come.
func (x *exchange) forwardStream(ctx context.Context, response *http.Response) {
	x.writeHeader(response)
	err := x.readBody(response.Body, func(part []byte) error {
		_, _ = x.meter.Write(part)
		return x.write(part)
	})
	if x.meter.errorStatus != 0 {
		x.status = x.meter.errorStatus
	}
	if err != nil {
		x.endStream(ctx, err)
	}
}

// cut ends a stream that has begun. The agent is told by an event, as the
// provider would; the blank line before it ends an event that was cut.
func (x *exchange) endStream(ctx context.Context, err error) {
	d := x.classifyError(ctx, err)
	event := append([]byte("\n\nevent: error\ndata: "), d.body()...)
	_ = x.write(append(event, "\n\n"...)) // the sandbox may be gone
}

// write gives the sandbox a bounded time to take what it asked for.
func (x *exchange) write(p []byte) error {
	control := http.NewResponseController(x.w)
	if err := control.SetWriteDeadline(time.Now().Add(x.session.gateway.settings.IdleTimeout)); err != nil {
		return err
	}
	n, err := x.w.Write(p)
	x.written += int64(n)
	if err == nil {
		err = control.Flush()
	}
	if err != nil {
		return err
	}
	// A deadline left behind would end the connection's next answer.
	return control.SetWriteDeadline(time.Time{})
}

// whole passes on an answer that is not a stream.
func (x *exchange) forwardBody(ctx context.Context, response *http.Response) {
	var body bytes.Buffer
	err := x.readBody(response.Body, func(part []byte) error {
		_, err := body.Write(part)
		return err
	})
	if err != nil {
		x.writeError(ctx, err)
		return
	}
	if x.status == http.StatusOK {
		x.meter.parseBody(body.Bytes())
	}
	x.w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	x.writeHeader(response)
	_ = x.write(body.Bytes()) // the sandbox may be gone
}

// read hands the answer on in parts, and ends it when it stalls or grows too large.
func (x *exchange) readBody(from io.Reader, part func([]byte) error) error {
	settings := x.session.gateway.settings
	stalled := time.AfterFunc(settings.IdleTimeout, func() { x.cancel(errStalled) })
	defer stalled.Stop()
	buffer := make([]byte, copyBufferSize)
	total := int64(0)
	for {
		stalled.Reset(settings.IdleTimeout)
		n, err := from.Read(buffer)
		stalled.Stop() // what follows waits for the sandbox, with a deadline of its own
		if total += int64(n); total > settings.MaxResponseSize {
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

// fail answers a call for which there is no answer from upstream.
func (x *exchange) writeError(ctx context.Context, err error) {
	x.writeDenial(x.classifyError(ctx, err))
}

func (x *exchange) writeDenial(d denialError) {
	x.rec.status = d.status
	d.write(x.w)
}

// lost reads why a call ended early from the context's cause, keeps it for the
// log, and gives the call its status.
func (x *exchange) classifyError(ctx context.Context, err error) denialError {
	if cause := context.Cause(ctx); cause != nil {
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

// settled gives the tokens to bill: none, if the request never left, or if the
// provider refused it.
func (x *exchange) finalTokens(a requestInfo) (t Tokens, estimated bool) {
	refused := x.rec.cause == nil && x.status != http.StatusOK
	if !x.meter.inputKnown && (refused || !x.sent.Load()) {
		return Tokens{}, false
	}
	return x.meter.finalTokens(a, x.written)
}
