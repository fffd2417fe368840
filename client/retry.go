package client

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	// maxTries is how often a request is sent, and how often a stream is opened without receiving an item.
	maxTries = 4
	// maxRetryDelay is the longest pause between two tries, also if the server asks for a longer one.
	maxRetryDelay = 10 * time.Second
)

// retries counts tries and gives the pauses between them: they double, with jitter, up to maxRetryDelay.
type retries struct {
	backoff.ExponentialBackOff
	triesLeft int
}

func newRetries(firstPause time.Duration, tries int) *retries {
	return &retries{
		ExponentialBackOff: backoff.ExponentialBackOff{InitialInterval: firstPause, RandomizationFactor: 0.5, Multiplier: 2, MaxInterval: maxRetryDelay},
		triesLeft:          tries,
	}
}

// NextBackOff returns the pause before the next try, or backoff.Stop after the last one.
func (r *retries) NextBackOff() time.Duration {
	if r.triesLeft--; r.triesLeft <= 0 {
		return backoff.Stop
	}
	return r.ExponentialBackOff.NextBackOff()
}

// restart forgets the tries so far, after one that made progress.
func (r *retries) restart() {
	r.triesLeft = maxTries
	r.Reset()
}

// retry calls f until it returns no error or a permanent one, ctx ends, or there are no tries left.
func retry[T any](ctx context.Context, r *retries, f func() (T, error)) (T, error) {
	return backoff.Retry(ctx, f, backoff.WithBackOff(r), backoff.WithMaxElapsedTime(0))
}

// withRetryAfter adds the pause that the server asks for, if it does.
func withRetryAfter(problem *Problem, retryAfter string) error {
	seconds, err := strconv.Atoi(retryAfter)
	if err != nil || seconds < 1 {
		return problem
	}
	return errors.Join(problem, backoff.RetryAfter(min(seconds, int(maxRetryDelay.Seconds()))))
}
