package quota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

var errCountFailed = errors.New("the count failed")

// queueModel is a queue that one process writes to. A test chooses when each count reads and is answered, when each
// write takes effect and is answered, and when executions start.
type queueModel struct {
	admissions  *Admissions
	queued      int
	counts      []*countCall
	submissions []*submission // whose Admit has not returned
	writes      []*modelWrite
	moments     []moment
}

// moment is the state from a time on.
type moment struct {
	at       time.Time
	queued   int
	inFlight int // writes that may still take effect, or whose process has no answer
}

type countCall struct {
	limit, value int
	hasRead      bool
	answer       chan error
}

type submission struct {
	limit       int
	arrived     int // number of moments
	arrivedAt   time.Time
	admission   *Admission
	err         error
	hasReturned bool
}

// modelWrite is the write of an admitted submission.
type modelWrite struct {
	admission   *Admission // nil after its answer
	committed   bool
	lostAnswers time.Time // when its answer was lost; zero: it was not
}

func (m *queueModel) CountQueued(_ context.Context, _ string, limit int) (int, error) {
	c := &countCall{limit: limit, answer: make(chan error)}
	m.counts = append(m.counts, c)
	err := <-c.answer
	return c.value, err
}

// step does what n chooses, and reports what is wrong then.
func (m *queueModel) step(n int) error {
	const kinds = 10
	choice := n / kinds
	switch n % kinds {
	case 0, 1:
		s := &submission{limit: 1 + choice%4, arrived: len(m.moments) - 1, arrivedAt: time.Now()}
		m.submissions = append(m.submissions, s)
		go func() {
			s.admission, s.err = m.admissions.Admit(context.Background(), ada, s.limit)
			s.hasReturned = true
		}()
	case 2:
		m.readCount()
	case 3:
		m.answerCount(nil)
	case 4:
		if choice%8 == 0 {
			m.answerCount(errCountFailed)
		}
	case 5:
		m.commit(choice)
	case 6, 7:
		m.answerWrite(choice)
	case 8:
		m.queued = max(0, m.queued-1) // an execution starts
	case 9:
		time.Sleep([]time.Duration{time.Millisecond, maxAgeToReject, maxAgeToAdmit, commitSettles}[choice%4])
	}
	return m.check()
}

func (m *queueModel) readCount() {
	for _, c := range m.counts {
		c.value, c.hasRead = min(m.queued, c.limit), true
	}
}

func (m *queueModel) answerCount(err error) {
	counts := m.counts
	m.counts = nil // an answered call may begin the next count at once
	for _, c := range counts {
		if err == nil && !c.hasRead {
			c.value = min(m.queued, c.limit)
		}
		c.answer <- err
	}
}

func (m *queueModel) commit(choice int) {
	if len(m.writes) > 0 {
		w := m.writes[choice%len(m.writes)]
		if !w.committed {
			w.committed = true
			m.queued++
		}
	}
}

// answerWrite answers a write: it is committed, refused, or its answer is lost.
func (m *queueModel) answerWrite(choice int) {
	if len(m.writes) == 0 {
		return
	}
	w := m.writes[choice%len(m.writes)]
	switch {
	case w.admission == nil:
		return
	case choice%5 == 0:
		w.admission.queue.settleUnknown()
		w.lostAnswers = time.Now()
	case w.committed:
		w.admission.Confirm()
	case choice%5 == 1:
		w.admission.Release()
		w.committed = true // never
	default:
		w.committed = true
		m.queued++
		w.admission.Confirm()
	}
	w.admission = nil
}

// check waits until every call waits for the test, and compares what they decided with the queue.
func (m *queueModel) check() error {
	synctest.Wait()
	m.writes = slices.DeleteFunc(m.writes, func(w *modelWrite) bool {
		return w.admission == nil && (w.lostAnswers.IsZero() || time.Since(w.lostAnswers) >= commitSettles)
	})
	var rejected []*submission
	highestLimit := 0
	m.submissions = slices.DeleteFunc(m.submissions, func(s *submission) bool {
		switch {
		case !s.hasReturned:
			return false
		case s.err == nil:
			highestLimit = max(highestLimit, s.limit)
			m.writes = append(m.writes, &modelWrite{admission: s.admission})
		case !errors.Is(s.err, errCountFailed):
			rejected = append(rejected, s)
		}
		return true
	})
	now := moment{at: time.Now(), queued: m.queued, inFlight: len(m.writes)}
	m.moments = append(m.moments, now)
	atMost := m.queued
	for _, w := range m.writes {
		if !w.committed {
			atMost++
		}
	}
	if highestLimit > 0 && atMost > highestLimit {
		return fmt.Errorf("%d are queued or will be, admitted with a limit of %d", atMost, highestLimit)
	}
	for _, s := range rejected {
		if !errors.As(s.err, new(*QueueFullError)) || m.isFalseRejection(s) {
			return fmt.Errorf("false rejection with limit %d: %w: %+v", s.limit, s.err, m.moments)
		}
	}
	return nil
}

// isFalseRejection reports whether a submission was rejected although nothing was in flight while it waited, and the
// queue was shorter than the limit, also in the time for which a count is used to reject.
func (m *queueModel) isFalseRejection(s *submission) bool {
	for i, was := range m.moments {
		lastedUntil := time.Now()
		if i+1 < len(m.moments) {
			lastedUntil = m.moments[i+1].at
		}
		if i >= s.arrived && was.inFlight > 0 {
			return false
		}
		if lastedUntil.After(s.arrivedAt.Add(-maxAgeToReject)) && was.queued >= s.limit {
			return false
		}
		if i >= s.arrived && was.queued >= s.limit {
			return false
		}
	}
	return m.queued < s.limit
}

// end answers everything that waits.
func (m *queueModel) end() error {
	for range 1000 {
		m.answerCount(nil)
		if err := m.check(); err != nil || len(m.submissions) == 0 {
			return err
		}
	}
	return errors.New("an admission never returns")
}

// However counts, writes and starts interleave: what is queued and what may still be written never exceeds the limit of
// an admission, and a submission is only rejected for what was queued or in flight.
func TestAdmissionsNeverExceedTheLimit(t *testing.T) {
	for range 25 { // TestMain sets a number of checks for tests that are slower
		rapid.Check(t, checkAdmissions(t))
	}
}

func checkAdmissions(t *testing.T) func(*rapid.T) {
	return func(rt *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(rt, "length")
		steps := rapid.SliceOfN(rapid.IntRange(0, 1<<12), n, n).Draw(rt, "steps")
		var err error
		synctest.Test(t, func(*testing.T) {
			m := &queueModel{}
			m.admissions = NewAdmissions(m)
			m.moments = []moment{{at: time.Now()}}
			for _, n := range steps {
				if err = m.step(n); err != nil {
					break
				}
			}
			err = errors.Join(err, m.end())
		})
		if err != nil {
			rt.Fatal(err)
		}
	}
}
