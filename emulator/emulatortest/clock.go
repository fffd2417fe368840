package emulatortest

import (
	"slices"
	"sync"
	"time"

	pubsubemulator "github.com/airlock-run/airlock/emulator/pubsub"
)

// Clock is a clock that a test can advance: for pubsub.Options.Clock, and its method Now for firestore.Options.Now.
// The zero Clock runs like the machine's clock. It is safe for concurrent use.
type Clock struct {
	mu     sync.Mutex
	offset time.Duration // how far a running clock is ahead of the machine's
	frozen time.Time     // the time of a clock that stands still; zero if it runs
	timers []*clockTimer
}

// NewFrozenClock returns a clock that stands still at this time until Advance.
func NewFrozenClock(now time.Time) *Clock { return &Clock{frozen: now} }

// Now returns the time of the clock.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now()
}

func (c *Clock) now() time.Time {
	if !c.frozen.IsZero() {
		return c.frozen
	}
	return time.Now().Add(c.offset)
}

// Advance moves the clock by d. It calls the functions of the timers that are due, in the order of their times, and
// returns when they have returned.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	end := c.frozen.Add(d)
	if c.frozen.IsZero() {
		c.offset += d
		end = c.now()
	}
	for t := c.nextTimer(); t != nil && !t.at.After(end); t = c.nextTimer() {
		c.remove(t)
		if !c.frozen.IsZero() && t.at.After(c.frozen) {
			c.frozen = t.at
		}
		c.mu.Unlock()
		t.call()
		c.mu.Lock()
	}
	if !c.frozen.IsZero() {
		c.frozen = end
	}
	for _, t := range c.timers {
		t.arm()
	}
}

// AfterFunc calls f in another goroutine, or in Advance, when d has passed on this clock.
func (c *Clock) AfterFunc(d time.Duration, f func()) pubsubemulator.Timer {
	t := &clockTimer{clock: c, call: f}
	t.Reset(d)
	return t
}

func (c *Clock) nextTimer() *clockTimer {
	if len(c.timers) == 0 {
		return nil
	}
	return slices.MinFunc(c.timers, func(a, b *clockTimer) int { return a.at.Compare(b.at) })
}

func (c *Clock) remove(t *clockTimer) bool {
	i := slices.Index(c.timers, t)
	if i < 0 {
		return false
	}
	c.timers = slices.Delete(c.timers, i, i+1)
	return true
}

// clockTimer is a timer of a Clock. The mutex of the clock guards it.
type clockTimer struct {
	clock   *Clock
	at      time.Time
	call    func()
	machine *time.Timer // of a running clock
}

// Reset sets the timer to d from now, and reports whether it was set before.
func (t *clockTimer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	active := t.clock.remove(t)
	t.at = t.clock.now().Add(d)
	t.clock.timers = append(t.clock.timers, t)
	t.arm()
	return active
}

// Stop unsets the timer, and reports whether it was set before.
func (t *clockTimer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.machine != nil {
		t.machine.Stop()
	}
	return t.clock.remove(t)
}

// arm sets the machine's timer if the clock runs.
func (t *clockTimer) arm() {
	if !t.clock.frozen.IsZero() {
		return
	}
	d := t.at.Sub(t.clock.now())
	if t.machine == nil {
		t.machine = time.AfterFunc(d, t.fire)
	} else {
		t.machine.Reset(d)
	}
}

// fire calls the function, unless the timer was stopped or set to a later time.
func (t *clockTimer) fire() {
	t.clock.mu.Lock()
	due := !t.at.After(t.clock.now()) && t.clock.remove(t)
	t.clock.mu.Unlock()
	if due {
		t.call()
	}
}
