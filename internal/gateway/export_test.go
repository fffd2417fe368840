package gateway

import "time"

// SetDrain replaces the time limits for counting the rest of a stream. It must be called before the first request.
func (e *Endpoint) SetDrain(silence, total time.Duration) {
	e.gateway.drain.silence, e.gateway.drain.time = silence, total
}
