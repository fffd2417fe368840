package history

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Figures sum a History up, for people.
type Stats struct {
	Accepted       int // executions that were answered with a 202, and the inputs of batches that were
	Executions     int // that are stored; more than Accepted where an answer was lost
	Batches        int
	Versions       int
	Retried        int                      // executions that took more than one attempt
	ByStatus       map[execution.Status]int // of their last versions
	Lost           int                      // accepted, and not ended or not there
	Changed        int                      // that changed after their end
	LongestOverdue time.Duration            // longest that one stayed due outside of outages
}

// Sum counts.
func Summarize(h History) Stats {
	c := newChecker(h)
	f := Stats{Executions: len(c.executions), Batches: len(c.batches), Versions: len(h.Versions), ByStatus: map[execution.Status]int{}}
	for _, p := range h.Acceptances {
		if p.Batch == "" {
			f.Accepted++
		} else if versions := c.batches[p.Batch]; versions != nil {
			f.Accepted += lastVersion(versions).Batch.Total
		}
	}
	for _, versions := range c.executions {
		end := lastVersion(versions).Execution
		f.ByStatus[end.Status]++
		if end.Attempt > 1 {
			f.Retried++
		}
		for i, v := range versions[1:] {
			f.LongestOverdue = max(f.LongestOverdue, c.overdueBy(versions[i].Execution.Due, v.At))
		}
	}
	for _, v := range Check(h) {
		switch v.Rule {
		case ruleAcceptedIsStored, ruleFinishes:
			f.Lost++
		case ruleFinalIsImmutable:
			f.Changed++
		}
	}
	return f
}

// lateness is how long something stayed due; 0 where an outage came between.
func (c *checker) overdueBy(due *time.Time, until time.Time) time.Duration {
	if due == nil || !until.After(*due) || slices.ContainsFunc(c.Outages, TimeRange{*due, until}.overlaps) {
		return 0
	}
	return until.Sub(*due)
}

func (f Stats) String() string {
	var by []string
	for _, status := range slices.Sorted(maps.Keys(f.ByStatus)) {
		by = append(by, fmt.Sprintf("%d %s", f.ByStatus[status], status))
	}
	return fmt.Sprintf("%d accepted, %d executions (%s), %d batches, %d took more than one attempt, %d versions, at most %s overdue; lost %d, changed after their end %d",
		f.Accepted, f.Executions, strings.Join(by, ", "), f.Batches, f.Retried, f.Versions, f.LongestOverdue.Round(time.Millisecond), f.Lost, f.Changed)
}
