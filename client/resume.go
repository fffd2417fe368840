package client

import (
	"context"
	"errors"
	"time"
)

// errBroken means that a stream ended before its time.
var errStreamInterrupted = errors.New("the answer broke off")

// resume yields what a stream brings, and goes on where it was when it breaks
// off, until read reports its end or it has brought nothing tries times in a
// row. read passes on what follows all that it has passed before, and stops
// when pass returns false.
func streamWithResume[T any](ctx context.Context, yield func(T, error) bool, read func(emit func(T) bool) (ended bool, err error)) {
	var zero T
	more := true
	for failures := 0; ; {
		failures++
		ended, err := read(func(item T) bool {
			failures = 1
			more = yield(item, nil)
			return more
		})
		if !more || ended && err == nil {
			return
		}
		if err == nil {
			err = errStreamInterrupted // as when the server shuts down
		}
		if !errors.Is(err, errStreamInterrupted) || failures == maxTries {
			yield(zero, err)
			return
		}
		select {
		case <-time.After(time.Second << failures):
		case <-ctx.Done():
			yield(zero, context.Cause(ctx))
			return
		}
	}
}
