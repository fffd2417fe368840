package pubsub_test

import (
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/emulator/internal/pubsub/broker"
)

// clock stands still until it is told to advance.
type clock struct {
	mu     sync.Mutex
	now    time.Time
	timers []*timer
}

type timer struct {
	clock *clock
	at    time.Time
	call  func()
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) AfterFunc(d time.Duration, f func()) broker.Timer {
	t := &timer{clock: c, call: f}
	t.Reset(d)
	return t
}

// advance makes the calls that fall due, in their order, before it returns.
func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	end := c.now.Add(d)
	for {
		t := c.nextTimer()
		if t == nil || t.at.After(end) {
			break
		}
		c.remove(t)
		if t.at.After(c.now) {
			c.now = t.at
		}
		c.mu.Unlock()
		t.call()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

func (c *clock) nextTimer() *timer {
	if len(c.timers) == 0 {
		return nil
	}
	return slices.MinFunc(c.timers, func(a, b *timer) int { return a.at.Compare(b.at) })
}

func (c *clock) remove(t *timer) bool {
	i := slices.Index(c.timers, t)
	if i < 0 {
		return false
	}
	c.timers = slices.Delete(c.timers, i, i+1)
	return true
}

func (t *timer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	active := t.clock.remove(t)
	t.at = t.clock.now.Add(d)
	t.clock.timers = append(t.clock.timers, t)
	return active
}

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.clock.remove(t)
}
