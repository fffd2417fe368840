package gateway

import (
	"sync"
	"time"
)

// waitClock measures how long the calls of an endpoint wait for the provider. A call waits from the answer of its first
// failed try to the beginning of the try that has another answer. The clock counts the time in which at least one call
// waits. It is safe for concurrent use.
type waitClock struct {
	limit  time.Duration // of the measured time; 0: no call waits
	opened time.Time

	mu      sync.Mutex
	running map[*wait]struct{}
	ended   []period // without overlaps

	announced      time.Time     // when the last wait was announced; zero: none since a call began to wait
	announcedDelay time.Duration // until the next try, as it was announced
}

// wait is that of one call.
type wait struct{ from time.Duration } // since the clock was opened

// period is a part of the time since the clock was opened.
type period struct{ from, to time.Duration }

func newWaitClock(limit time.Duration) *waitClock {
	return &waitClock{limit: limit, opened: time.Now(), running: map[*wait]struct{}{}}
}

// begin begins the wait of a call. It must be ended.
func (c *waitClock) begin() *wait {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.running) == 0 {
		c.announced, c.announcedDelay = time.Time{}, 0
	}
	w := &wait{time.Since(c.opened)}
	c.running[w] = struct{}{}
	return w
}

// end ends a wait at a time that may be past: a try counts only when its answer has shown that it failed.
func (c *waitClock) end(w *wait, at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, w)
	c.ended = addPeriod(c.ended, period{w.from, max(w.from, at.Sub(c.opened))})
}

// waited returns the measured time so far, at most the limit. The tries of calls that wait now count as failed. So it
// may be less later, by the time of a try that succeeds.
func (c *waitClock) waited() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	periods, now := c.ended, time.Since(c.opened)
	for w := range c.running {
		periods = addPeriod(periods, period{w.from, now})
	}
	sum := time.Duration(0)
	for _, p := range periods {
		sum += p.to - p.from
	}
	return min(sum, c.limit)
}

// addPeriod returns the periods with another one. Periods that overlap become one.
func addPeriod(periods []period, p period) []period {
	var sum []period
	for _, o := range periods {
		if o.to < p.from || o.from > p.to {
			sum = append(sum, o)
		} else {
			p = period{min(o.from, p.from), max(o.to, p.to)}
		}
	}
	return append(sum, p)
}

// announceInterval is the least time between two announcements of about the same delay.
const announceInterval = time.Minute

// announce reports whether to tell the listener of a delay. It is told of the first one, of each that is at least twice
// the one before, and otherwise one time in announceInterval, because the steps of an attempt are few.
func (c *waitClock) announce(delay time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if delay < 2*c.announcedDelay && time.Since(c.announced) < announceInterval {
		return false
	}
	c.announced, c.announcedDelay = time.Now(), delay
	return true
}
