// Package ratelimit bounds what clients may use of a process.
//
// In: names of callers, connections and bodies of requests. Out: how long a caller has to wait (Buckets), a listener
// with a limited number of connections (NewListener), and deadlines for clients that stall (NewListener, Body). The
// package never shares its counts with other processes: with several processes the limits add up.
package ratelimit

import (
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxBuckets bounds the number of names. A bucket needs some 200 bytes. A name whose bucket was dropped, because it was
// used the longest time ago, starts again with a full bucket.
const maxBuckets = 10_000

// Buckets are token buckets by name, such as a tenant or an address. They are safe for concurrent use. Nil Buckets
// limit nothing.
type Buckets struct {
	rate     rate.Limit
	burst    int
	now      func() time.Time
	limiters *lru.Cache[string, *rate.Limiter]
}

// NewBuckets returns buckets that hold burst tokens each and gain perSecond tokens a second. It returns nil if
// perSecond is 0. A nil clock is the clock of this machine.
func NewBuckets(perSecond float64, burst int, now func() time.Time) *Buckets {
	if perSecond == 0 {
		return nil
	}
	if now == nil {
		now = time.Now
	}
	limiters, err := lru.New[string, *rate.Limiter](maxBuckets)
	if err != nil {
		panic(err) // only for a size that is not above 0
	}
	return &Buckets{rate: rate.Limit(perSecond), burst: burst, now: now, limiters: limiters}
}

// Take takes a token. If there is none, it returns the time until there is one.
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
