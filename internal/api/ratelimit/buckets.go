// Package limit bounds what callers may ask of a process: how often, over how
// many connections, and how slowly.
package ratelimit

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// remembered is for about how many names buckets are kept, some 200 bytes each.
// The one that was not used for longest is full again when it is met anew.
const maxBuckets = 10_000

// Buckets are token buckets by name, such as a tenant's or an address. They are
// safe for concurrent use, and those of one process: with several, the limits add up.
type Buckets struct {
	rate     rate.Limit
	burst    int
	now      func() time.Time
	limiters *lru.Cache[string, *rate.Limiter]
}

// NewBuckets returns buckets that hold burst tokens and get so many a second
// again; nil, which never runs dry, where that is 0. The clock may be nil: this
// machine's.
func NewBuckets(perSecond float64, burst int, now func() time.Time) *Buckets {
	if perSecond == 0 {
		return nil
	}
	if now == nil {
		now = time.Now
	}
	limiters, _ := lru.New[string, *rate.Limiter](maxBuckets) // fails for a size of nothing only
	return &Buckets{rate: rate.Limit(perSecond), burst: burst, now: now, limiters: limiters}
}

// Take takes a token. Where there is none it returns how long until there is.
func (b *Buckets) Take(name string) (wait time.Duration) {
	if b == nil {
		return 0
	}
	now := b.now()
	if l := b.limiterFor(name); !l.AllowN(now, 1) {
		return max(time.Nanosecond, b.waitTime(l, now))
	}
	return 0
}

// Dry returns how long it is until there is a token, without taking one.
func (b *Buckets) RetryAfter(name string) (wait time.Duration) {
	if b == nil {
		return 0
	}
	if l, ok := b.limiters.Get(name); ok {
		return b.waitTime(l, b.now())
	}
	return 0
}

func (b *Buckets) waitTime(l *rate.Limiter, now time.Time) time.Duration {
	missing := 1 - l.TokensAt(now)
	return max(0, time.Duration(missing/float64(b.rate)*float64(time.Second)))
}

func (b *Buckets) limiterFor(name string) *rate.Limiter {
	if l, ok := b.limiters.Get(name); ok {
		return l
	}
	fresh := rate.NewLimiter(b.rate, b.burst)
	if existing, ok, _ := b.limiters.PeekOrAdd(name, fresh); ok {
		return existing
	}
	return fresh
}
