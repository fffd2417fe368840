package executor

import (
	"slices"
	"sync"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// showEvery is how often an attempt's steps are written out of turn, at the
// most. What comes in between goes with the next heartbeat, or with the end.
const showEvery = time.Second

// steps are the newest that an attempt was seen to do. It is safe for
// concurrent use: the sandbox adds to them, the heart and the end write them.
type steps struct {
	show func() // has them written soon

	mu    sync.Mutex
	kept  []execution.Step
	count int
	shown time.Time
}

func (s *steps) add(kind execution.StepKind, text string) {
	if s.keep(kind, text) {
		s.show()
	}
}

// keep reports whether it is time to show what is kept.
func (s *steps) keep(kind execution.StepKind, text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	s.kept = append(s.kept, execution.NewStep(s.count, kind, text))
	s.kept = s.kept[max(0, len(s.kept)-execution.MaxSteps):]
	now := time.Now()
	due := now.Sub(s.shown) >= showEvery
	if due {
		s.shown = now
	}
	return due
}

// newest returns the steps that are kept, and how many there were in all.
func (s *steps) newest() ([]execution.Step, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.kept), s.count
}
