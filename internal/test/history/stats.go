package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Stats are the statistics of a History, for people.
type Stats struct {
	Accepted       int // executions with a 202, and the inputs of batches with a 202
	Executions     int // stored executions; more than Accepted when a response was lost
	Batches        int
	Versions       int
	Retried        int                      // executions with more than one attempt
	ByStatus       map[execution.Status]int // of their last versions
	ByFailure      map[execution.Code]int   // of the executions that failed
	Lost           int                      // accepted executions and batches that are not stored, and unfinished executions
	Changed        int                      // changes after a final state
	LongestOverdue time.Duration            // longest time that an execution stayed overdue without an outage
	Waits          Waits
	Requeues       Requeues
}

// Summarize returns the statistics of a History.
func Summarize(h History) Stats {
	c := check(h)
	s := Stats{Waits: c.waits, Requeues: c.requeues, Executions: len(c.executions), Batches: len(c.batches), Versions: len(h.Versions), ByStatus: map[execution.Status]int{}, ByFailure: map[execution.Code]int{}}
	for _, a := range h.Acceptances {
		if a.Batch == "" {
			s.Accepted++
		} else if versions := c.batches[a.Batch]; versions != nil {
			s.Accepted += lastVersion(versions).Batch.Total
		}
	}
	for _, versions := range c.executions {
		final := lastVersion(versions).Execution
		s.ByStatus[final.Status]++
		if final.Status == execution.Failed {
			s.ByFailure[final.Failure.Code]++
		}
		if final.Attempt > 1 {
			s.Retried++
		}
		for i, v := range versions[1:] {
			s.LongestOverdue = max(s.LongestOverdue, c.overdueBy(versions[i].Execution.Due, v.At))
		}
	}
	for _, v := range c.violations {
		switch v.Rule {
		case ruleNothingLost, ruleFinishes:
			s.Lost++
		case ruleFinalIsImmutable:
			s.Changed++
		}
	}
	return s
}

// overdueBy returns how long a document stayed overdue; 0 if an outage overlaps that time.
func (c *checker) overdueBy(due *time.Time, until time.Time) time.Duration {
	if due == nil || !until.After(*due) || slices.ContainsFunc(c.Outages, TimeRange{*due, until}.overlaps) {
		return 0
	}
	return until.Sub(*due)
}

func (s Stats) String() string {
	var byStatus []string
	for _, status := range slices.Sorted(maps.Keys(s.ByStatus)) {
		byStatus = append(byStatus, fmt.Sprintf("%d %s", s.ByStatus[status], status))
	}
	for _, code := range slices.Sorted(maps.Keys(s.ByFailure)) {
		byStatus = append(byStatus, fmt.Sprintf("%d %s", s.ByFailure[code], code))
	}
	return fmt.Sprintf("%d accepted, %d executions (%s), %d batches, %d with more than one attempt, %d versions, at most %s overdue; %d lost, %d changed after their final state",
		s.Accepted, s.Executions, strings.Join(byStatus, ", "), s.Batches, s.Retried, s.Versions, s.LongestOverdue.Round(time.Millisecond), s.Lost, s.Changed)
}
