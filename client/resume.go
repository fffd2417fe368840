package client

import (
	"context"
	"errors"
	"time"
)

// errBroken means that a stream ended before its time.
var errBroken = errors.New("the answer broke off")

// resume yields what a stream brings, and goes on where it was when it breaks
// off, until read reports its end or it has brought nothing tries times in a
// row. read passes on what follows all that it has passed before, and stops
// when pass returns false.
func resume[T any](ctx context.Context, yield func(T, error) bool, read func(pass func(T) bool) (ended bool, err error)) {
	var none T
	wanted := true
	for broken := 0; ; {
		broken++
		ended, err := read(func(one T) bool {
			broken = 1
			wanted = yield(one, nil)
			return wanted
		})
		if !wanted || ended && err == nil {
			return
		}
		if err == nil {
			err = errBroken // as when the server shuts down
		}
		if !errors.Is(err, errBroken) || broken == tries {
			yield(none, err)
			return
		}
		select {
		case <-time.After(time.Second << broken):
		case <-ctx.Done():
			yield(none, context.Cause(ctx))
			return
		}
	}
}
