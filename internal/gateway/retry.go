package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/airlock-run/airlock/internal/netguard"
)

// maxBackoffFactor bounds the back-off, as a multiple of Config.Backoff.
const maxBackoffFactor = 30

// nextTry reports whether a try that failed is followed by another one, and after which delay: the one that the
// provider asks for, or else the back-off. It is the last one if the endpoint would wait longer than its limit.
func (x *exchange) nextTry(status int, header http.Header) (delay time.Duration, again bool) {
	e := x.endpoint
	if e.waits.limit == 0 || header.Get("X-Should-Retry") == "false" {
		return 0, false
	}
	if x.wait == nil {
		x.wait = e.waits.begin()
	}
	if delay = retryAfter(header); delay <= 0 {
		delay = backoff(e.gateway.config.Backoff, x.tries)
	}
	if e.waits.waited()+delay > e.waits.limit {
		x.gaveUp = true
		return 0, false
	}
	if e.waits.announce(delay) && e.onWait != nil {
		e.onWait(status, delay)
	}
	return delay, true
}

// endWait ends the wait of the call, if it waited.
func (x *exchange) endWait(at time.Time) {
	if x.wait != nil {
		x.endpoint.waits.end(x.wait, at)
		x.wait = nil
	}
}

// IsTemporary reports whether the same request may succeed later, by the status of its response. 0: there was none.
func IsTemporary(status int) bool {
	switch status {
	case 0, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout, StatusOverloaded:
		return true
	default:
		return false
	}
}

// isConnectionFailure reports whether err, of a request that nobody canceled, is the network's or the provider's fault.
// A rejected certificate or address is the operator's.
func isConnectionFailure(ctx context.Context, err error) bool {
	var certificate *tls.CertificateVerificationError
	var blocked netguard.BlockedError
	return ctx.Err() == nil && !errors.As(err, &certificate) && !errors.As(err, &blocked)
}

// backoff returns the delay after the n-th try: base, 2*base, 4*base … up to maxBackoffFactor*base, shortened by up to
// half of it, so that calls that failed together are not repeated together.
func backoff(base time.Duration, n int) time.Duration {
	limit := base * time.Duration(min(1<<min(n-1, 10), maxBackoffFactor))
	return limit - rand.N(limit/2)
}

// maxRetryAfter bounds a delay that the provider asks for, so that sums cannot overflow.
const maxRetryAfter = 24 * time.Hour

// retryAfter returns the delay that the provider asks for; 0 if it asks for none. A date is compared with the clock of
// the provider, if its response shows that.
func retryAfter(header http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(header.Get("Retry-After-Ms"), 64); err == nil && ms > 0 {
		return time.Duration(min(ms, float64(maxRetryAfter.Milliseconds())) * float64(time.Millisecond))
	}
	value := header.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(value, 64); err == nil && seconds > 0 {
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(0, at.Sub(now)), maxRetryAfter)
}
