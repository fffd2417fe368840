package history

import (
	"fmt"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The bounds of docs/reliability.md and docs/architecture.md for an executor that died.
const (
	requeueLimit = 30 * time.Second // a session, the interval of the leader, and the leader's write
	leaderLimit  = 19 * time.Second // until another process leads
)

// Interruption is a time in which an executor did not run. Its executions are queued again, or end, within 30 s.
type Interruption struct {
	Executor string
	From     time.Time
	To       time.Time // it went on; zero: it was killed
}

// lasts reports whether the executor does not run for so long that its executions must be queued again meanwhile. One
// that goes on before does it itself.
func (i Interruption) lasts() bool { return i.To.IsZero() || i.To.Sub(i.From) > requeueLimit }

// Requeues are the statistics of the executions that interrupted executors held.
type Requeues struct {
	Checked int
	Longest time.Duration
	Limit   time.Duration // of the longest
}

func (r Requeues) String() string {
	return fmt.Sprintf("%d executions of interrupted executors, queued again or ended within %s (bound: %s)",
		r.Checked, round(r.Longest), round(r.Limit))
}

// checkRequeues checks that what ran on an interrupted executor was queued again, or ended, within requeueLimit.
func (c *checker) checkRequeues() (all Requeues) {
	for id, versions := range c.executions {
		for i, v := range versions {
			e := v.Execution
			if e.Status != execution.Running || e.Lease == nil || i > 0 && versions[i-1].Execution.Status == execution.Running {
				continue
			}
			held := TimeRange{v.At, endOfAttempt(versions[i:])}
			for _, stop := range c.Interruptions {
				if e.Lease.Executor != stop.Executor || !stop.lasts() || held.From.After(stop.From) || !held.To.After(stop.From) {
					continue
				}
				took, limit := held.To.Sub(stop.From), c.requeueBound(stop, held.To)
				all.Checked++
				if took > all.Longest {
					all.Longest, all.Limit = took, limit
				}
				if took > limit {
					c.addViolation(ruleRequeued, id, "attempt %d on %s, which stopped at %s, ended after %s instead of %s",
						e.Attempt, stop.Executor, stop.From, took, limit)
				}
			}
		}
	}
	return all
}

// requeueBound returns within which time the executions of an executor that was interrupted are queued again, or end:
//
//		limit = 30 s + outages + 19 s × others
//
//	  - outages: how much of the time until then lies in History.Outages, in which Firestore could not be reached
//	  - others: how many other executors were interrupted since one limit before: each may have led, and another one leads
//	    19 s later
func (c *checker) requeueBound(stop Interruption, until time.Time) time.Duration {
	limit := requeueLimit + overlap(TimeRange{stop.From, until}, c.Outages)
	for _, other := range c.Interruptions {
		if other.Executor != stop.Executor && other.From.After(stop.From.Add(-requeueLimit)) && other.From.Before(until) {
			limit += leaderLimit
		}
	}
	return limit
}
