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
type Figures struct {
	Accepted   int // executions that were answered with a 202, and the inputs of batches that were
	Executions int // that are stored; more than Accepted where an answer was lost
	Batches    int
	Versions   int
	Again      int                      // executions that took more than one attempt
	ByStatus   map[execution.Status]int // of their last versions
	Lost       int                      // accepted, and not ended or not there
	Changed    int                      // that changed after their end
	Latest     time.Duration            // longest that one stayed due outside of outages
}

// Sum counts.
func Sum(h History) Figures {
	c := newCheck(h)
	f := Figures{Executions: len(c.executions), Batches: len(c.batches), Versions: len(h.Versions), ByStatus: map[execution.Status]int{}}
	for _, p := range h.Promises {
		if p.Batch == "" {
			f.Accepted++
		} else if life := c.batches[p.Batch]; life != nil {
			f.Accepted += last(life).Batch.Total
		}
	}
	for _, life := range c.executions {
		end := last(life).Execution
		f.ByStatus[end.Status]++
		if end.Attempt > 1 {
			f.Again++
		}
		for i, v := range life[1:] {
			f.Latest = max(f.Latest, c.lateness(life[i].Execution.Due, v.At))
		}
	}
	for _, v := range Check(h) {
		switch v.Rule {
		case ruleThere, ruleEnds:
			f.Lost++
		case ruleStays:
			f.Changed++
		}
	}
	return f
}

// lateness is how long something stayed due; 0 where an outage came between.
func (c *check) lateness(due *time.Time, until time.Time) time.Duration {
	if due == nil || !until.After(*due) || slices.ContainsFunc(c.Outages, Span{*due, until}.meets) {
		return 0
	}
	return until.Sub(*due)
}

func (f Figures) String() string {
	var by []string
	for _, status := range slices.Sorted(maps.Keys(f.ByStatus)) {
		by = append(by, fmt.Sprintf("%d %s", f.ByStatus[status], status))
	}
	return fmt.Sprintf("%d accepted, %d executions (%s), %d batches, %d took more than one attempt, %d versions, at most %s overdue; lost %d, changed after their end %d",
		f.Accepted, f.Executions, strings.Join(by, ", "), f.Batches, f.Again, f.Versions, f.Latest.Round(time.Millisecond), f.Lost, f.Changed)
}
