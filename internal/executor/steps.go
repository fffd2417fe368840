package executor

import (
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// showEvery is how often an attempt's steps are written out of turn, at the
// most. What comes in between goes with the next heartbeat, or with the end.
const notifyInterval = time.Second

// steps are the newest that an attempt was seen to do. It is safe for
// concurrent use: the sandbox adds to them, the heart and the end write them.
type stepBuffer struct {
	notify func() // has them written soon

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

// keep reports whether it is time to show what is kept.
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

// newest returns the steps that are kept, and how many there were in all.
func (s *stepBuffer) snapshot() ([]execution.Step, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.recent), s.total
}
