package executor

import (
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// notifyInterval is the shortest time between two calls of stepBuffer.notify. Steps in between are written with the
// next heartbeat or with the result.
const notifyInterval = time.Second

// stepBuffer holds the newest steps of an attempt. It is safe for concurrent use: the sandbox adds steps while the
// heartbeat and finish read them.
type stepBuffer struct {
	notify func() // asks for the steps to be written soon

	mu         sync.Mutex
	recent     []execution.Step
	total      int
	notifiedAt time.Time
}

func (s *stepBuffer) add(kind execution.StepKind, text string) {
	if s.record(kind, text) {
		s.notify()
	}
}

// record adds a step and reports whether notify is due.
func (s *stepBuffer) record(kind execution.StepKind, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.total++
	s.recent = append(s.recent, execution.NewStep(s.total, kind, text))
	s.recent = s.recent[max(0, len(s.recent)-execution.MaxSteps):]
	now := time.Now()
	due := now.Sub(s.notifiedAt) >= notifyInterval
	if due {
		s.notifiedAt = now
	}
	return due
}

// snapshot returns the newest steps, and the number of all steps so far.
func (s *stepBuffer) snapshot() ([]execution.Step, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recent), s.total
}
