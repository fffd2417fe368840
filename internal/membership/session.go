package membership

import (
	"sync"
	"time"
)

// Session is a session of this process, as far as the process knows.
type Session struct {
	ID    string
	lease *lease
}

// Lost returns a channel that is closed as soon as the session may have expired.
func (s Session) Lost() <-chan struct{} { return s.lease.lost }

// Live reports whether the session has certainly not expired. A process that was paused must ask before it relies on
// the session: Lost may be closed a moment later.
func (s Session) Live() bool { return s.lease.live() }

// lease counts, by this machine's monotonic clock, how long the newest renewal that succeeded holds. It starts when the
// renewal is sent, so the lease ends here before it ends by Firestore's clock. Once it is lost, it stays lost.
type lease struct {
	duration time.Duration
	lost     chan struct{}

	mu        sync.Mutex
	expiresAt time.Time
	ended     bool
	timer     *time.Timer
}

func newLease(sentAt time.Time, duration time.Duration) *lease {
	l := &lease{duration: duration, lost: make(chan struct{}), expiresAt: sentAt.Add(duration)}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(time.Until(l.expiresAt), func() { l.live() })
	return l
}

// live ends the lease if its time is over, and reports whether it holds.
func (l *lease) live() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.liveLocked()
}

func (l *lease) liveLocked() bool {
	if !l.ended && time.Until(l.expiresAt) <= 0 {
		l.endLocked()
	}
	return !l.ended
}

// renew extends the lease because a renewal that was sent at that time has succeeded. A lease that ended before the
// answer came stays ended: by then others may have acted on its end.
func (l *lease) renew(sentAt time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.liveLocked() {
		return false
	}
	l.expiresAt = sentAt.Add(l.duration)
	l.timer.Reset(time.Until(l.expiresAt))
	return true
}

// end ends the lease at once.
func (l *lease) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endLocked()
}

func (l *lease) endLocked() {
	if !l.ended {
		l.ended = true
		l.timer.Stop()
		close(l.lost)
	}
}

// remaining returns how long the lease holds without another renewal.
func (l *lease) remaining() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Until(l.expiresAt)
}
