package supervise

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// Loop is the name of a loop in the metric of its failures.
type Loop string

// The loops that back off for one resource alone.
const (
	Dispatch        Loop = "dispatch"
	DispatchBatches Loop = "dispatch_batches"
	Sweep           Loop = "sweep"
	Purge           Loop = "purge"
	DeliverWebhooks Loop = "deliver_webhooks"
	ReadDeadLetters Loop = "read_dead_letters"
	CountUnfinished Loop = "count_unfinished"
	WakeDispatchers Loop = "wake_dispatchers"
)

const (
	// minKeyBackoff and maxKeyBackoff bound the wait after a failure. It doubles with each failure in a row.
	minKeyBackoff = 200 * time.Millisecond
	maxKeyBackoff = 5 * time.Minute
	// maxOutageBackoff bounds the wait after a failure of the service itself, so that work continues soon after it.
	maxOutageBackoff = 5 * time.Second
	// maxFailedKeys bounds how many keys are remembered. A key that is forgotten is tried again early.
	maxFailedKeys = 10_000
	// maxFailureLogs is how many failures of a loop are logged each minute. The metric counts all.
	maxFailureLogs = 10
)

// Backoffs lets a loop that works on many resources skip one that fails, and go on with the others. Each key has a
// back-off of its own, which starts at 0.2 s, doubles up to 5 min, and varies by up to a half. It is safe for
// concurrent use.
type Backoffs[K comparable] struct {
	loop     Loop
	log      *zap.Logger
	isOutage func(error) bool

	mu     sync.Mutex
	failed *simplelru.LRU[K, *failedKey]
}

type failedKey struct {
	backOff *backoff.ExponentialBackOff
	until   time.Time
}

// NewBackoffs returns Backoffs without a failure. isOutage tells the error of a service that does not answer, which
// says nothing about the resource: the back-off is then 5 s at most.
func NewBackoffs[K comparable](loop Loop, log *zap.Logger, isOutage func(error) bool) *Backoffs[K] {
	failed, err := simplelru.NewLRU[K, *failedKey](maxFailedKeys, nil)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	limited := log.WithOptions(zap.WrapCore(func(core zapcore.Core) zapcore.Core {
		return zapcore.NewSamplerWithOptions(core, logInterval, maxFailureLogs, 0)
	}))
	return &Backoffs[K]{loop: loop, log: limited, isOutage: isOutage, failed: failed}
}

// ErrBackingOff means that a key was skipped because its back-off is not over.
var ErrBackingOff = errors.New("the back-off is not over")

// Do calls f for a key, or returns ErrBackingOff. An error or a panic of f is counted, logged and returned, and starts
// the next back-off; success ends it. If ctx has ended, f was interrupted, and its error changes nothing.
func (b *Backoffs[K]) Do(ctx context.Context, k K, f func(context.Context) error) error {
	if b.Wait(k) > 0 {
		return ErrBackingOff
	}
	err := runRecovering(ctx, f)
	switch {
	case err == nil:
		b.mu.Lock()
		b.failed.Remove(k)
		b.mu.Unlock()
	case ctx.Err() == nil:
		wait := b.fail(k, b.isOutage(err))
		metrics.BackgroundFailures.WithLabelValues(string(b.loop)).Inc()
		level := zap.WarnLevel
		if panicked := new(PanicError); errors.As(err, &panicked) {
			level = zap.ErrorLevel // a bug
		}
		b.log.Log(level, "skipping one resource after an error; the others continue",
			zap.Any("resource", k), zap.Duration("retryIn", wait), zap.Error(err))
	}
	return err
}

// Wait returns how long the back-off of a key still lasts, 0 if it has none.
func (b *Backoffs[K]) Wait(k K) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if f, ok := b.failed.Get(k); ok {
		return max(0, time.Until(f.until))
	}
	return 0
}

func (b *Backoffs[K]) fail(k K, outage bool) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	f, ok := b.failed.Get(k)
	if !ok {
		f = &failedKey{backOff: backoff.NewExponentialBackOff()}
		f.backOff.InitialInterval, f.backOff.MaxInterval, f.backOff.Multiplier = minKeyBackoff, maxKeyBackoff, 2
		b.failed.Add(k, f)
	}
	wait := f.backOff.NextBackOff()
	if outage {
		wait = min(wait, maxOutageBackoff)
	}
	f.until = time.Now().Add(wait)
	return wait
}
