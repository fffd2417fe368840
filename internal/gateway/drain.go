package gateway

import (
	"context"
	"io"
	"sync"
	"time"
)

// The provider bills what it has sent of a stream, whether or not the sandbox reads it. While a write to the sandbox
// blocks, events wait in the buffers of the kernel, several MiB of them. So a stream that the sandbox or the gateway
// ends is read on without the sandbox, and counted, within these limits.
const (
	// What is in flight arrives within a round trip. A provider's pings are many seconds apart.
	drainSilence = 200 * time.Millisecond
	// The end of the job waits for its calls.
	drainTime = 2 * time.Second
	// The kernel's buffers of a connection have at most 10 MiB at both ends together, by Linux's defaults. Go's window of
	// an HTTP/2 stream has 4 MiB.
	drainSize = 16 << 20
)

type drainLimits struct {
	silence, time time.Duration
	size          int64
}

// upstreamContext is the context of an upstream request. It outlives the call by the limits: its owner calls begin when
// the call ends. Without limits it ends with the call. It is safe for concurrent use.
type upstreamContext struct {
	context.Context
	cancel context.CancelFunc
	limits drainLimits

	mu             sync.Mutex
	waiting, begun bool        // for the provider; begin was called
	silence, total *time.Timer // they call cancel
}

func newUpstreamContext(ctx context.Context, limits drainLimits) *upstreamContext {
	u := &upstreamContext{limits: limits}
	u.Context, u.cancel = context.WithCancel(context.WithoutCancel(ctx))
	u.silence, u.total = stoppedTimer(u.cancel), stoppedTimer(u.cancel)
	return u
}

func stoppedTimer(f func()) *time.Timer {
	t := time.AfterFunc(time.Hour, f)
	t.Stop()
	return t
}

// begin starts the limits.
func (u *upstreamContext) begin() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.begun = true
	u.total.Reset(u.limits.time)
	if u.waiting {
		u.silence.Reset(u.limits.silence)
	}
}

// setWaiting reports whether the call waits for the provider. The provider is silent only while it does.
func (u *upstreamContext) setWaiting(waiting bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.waiting = waiting
	u.silence.Stop()
	if waiting && u.begun {
		u.silence.Reset(u.limits.silence)
	}
}

// end cancels the request.
func (u *upstreamContext) end() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.silence.Stop()
	u.total.Stop()
	u.cancel()
}

// upstreamBody is the body of a response.
type upstreamBody struct {
	upstream *upstreamContext
	body     io.Reader
}

func (b upstreamBody) Read(p []byte) (int, error) {
	b.upstream.setWaiting(true)
	defer b.upstream.setWaiting(false)
	return b.body.Read(p)
}

// drain counts what the provider has still sent of a stream that ended for the reason.
func (x *exchange) drain(body io.Reader, reason error) {
	x.cancel(reason) // starts the limits
	_, _ = io.CopyBuffer(&x.counter, io.LimitReader(body, x.endpoint.gateway.drain.size), make([]byte, copyBufferSize))
}
