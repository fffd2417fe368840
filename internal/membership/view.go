package membership

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
	"github.com/airlock-run/airlock/internal/telemetry/metrics"
)

// viewTimeout bounds one read of the fleet document.
const viewTimeout = 5 * time.Second

// FleetReader reads the fleet document.
type FleetReader interface {
	ReadFleet(ctx context.Context) (store.FleetSnapshot, error)
}

// View is this process's copy of the fleet document. It is safe for concurrent use.
type View struct {
	reader FleetReader
	reads  singleflight.Group

	mu      sync.Mutex
	known   bool
	fleet   store.FleetSnapshot
	readAt  time.Time // when the read was sent, by the monotonic clock
	stale   bool
	changed chan struct{} // closed and replaced by every change
}

// NewView returns a view that has read nothing yet.
func NewView(reader FleetReader) *View { return &View{reader: reader, changed: make(chan struct{})} }

// Fleet returns the fleet document as it was at most maxAge ago, and reads it only if the copy is older. Concurrent
// calls share one read. The caller must not change what it gets.
func (v *View) Fleet(ctx context.Context, maxAge time.Duration) (fleet.Fleet, error) {
	f, _, err := v.snapshot(ctx, maxAge)
	return f.Fleet, err
}

// snapshot also returns a channel that is closed by the next change after this one.
func (v *View) snapshot(ctx context.Context, maxAge time.Duration) (f store.FleetSnapshot, changed <-chan struct{}, err error) {
	oldest := time.Now().Add(-maxAge)
	for {
		v.mu.Lock()
		f, changed = v.fleet, v.changed
		fresh := v.known && !v.stale && !v.readAt.Before(oldest)
		v.mu.Unlock()
		if fresh {
			return f, changed, nil
		}
		select {
		case <-ctx.Done():
			return f, nil, ctx.Err()
		case result := <-v.reads.DoChan("", func() (any, error) { return nil, v.read(context.WithoutCancel(ctx)) }):
			if result.Err != nil {
				return f, nil, result.Err
			}
		}
	}
}

// read reads the document for everybody who waits, so it does not end with one of them.
func (v *View) read(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, viewTimeout)
	defer cancel()
	sentAt := time.Now()
	v.mu.Lock()
	v.stale = false // a signal that arrives from now on asks for another read
	v.mu.Unlock()
	metrics.FleetReads.WithLabelValues("fleet").Inc()
	f, err := v.reader.ReadFleet(ctx)
	if err != nil {
		v.mu.Lock()
		v.stale = true // as it may have been before
		v.mu.Unlock()
		return err
	}
	v.set(f, sentAt)
	return nil
}

// set stores what this process has read or written itself.
func (v *View) set(f store.FleetSnapshot, sentAt time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.known && f.Version.Before(v.fleet.Version) && f.Now.Before(v.fleet.Now) {
		return // an older answer that arrived late
	}
	v.known, v.fleet, v.readAt = true, f, sentAt
	v.notify()
}

// Invalidate makes the next call of Fleet read, and tells those who wait for a change. It serves signal.KindFleet.
func (v *View) Invalidate() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.stale = true
	v.notify()
}

// Changed returns a channel that is closed when the document has been read again, or has certainly changed.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

func (v *View) notify() {
	close(v.changed)
	v.changed = make(chan struct{})
}
