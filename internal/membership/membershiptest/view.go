// Package membershiptest has a view of the fleet that a test changes.
package membershiptest

import (
	"context"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// View is a membership.View without Firestore. It is safe for concurrent use.
type View struct {
	mu      sync.Mutex
	fleet   fleet.Fleet
	err     error
	changed chan struct{}
}

// NewView returns a view of a fleet.
func NewView(f fleet.Fleet) *View { return &View{fleet: f, changed: make(chan struct{})} }

// Fleet returns the fleet, or the error of Fail.
func (v *View) Fleet(context.Context, time.Duration) (fleet.Fleet, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fleet, v.err
}

// Changed returns a channel that is closed by the next change.
func (v *View) Changed() <-chan struct{} {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.changed
}

// Change changes the fleet.
func (v *View) Change(f func(*fleet.Fleet)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(&v.fleet)
	close(v.changed)
	v.changed = make(chan struct{})
}

// Fail makes the view know nothing of the fleet but this error.
func (v *View) Fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.fleet, v.err = fleet.Fleet{}, err
}
