package history

import (
	"encoding/json"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// execution judges one execution, from its first version to its last.
func (c *checker) checkExecution(id string, versions []Version) {
	for i, v := range versions[1:] {
		before := versions[i]
		c.checkOverdue(id, before.Execution.Due, v.At)
		c.checkTransition(id, before, v)
	}
	c.checkFinalState(id, versions)
}

// step judges what one commit did.
func (c *checker) checkTransition(id string, from, to Version) {
	a, b := from.Execution, to.Execution
	switch {
	case a.Status.Terminal():
		if from.Content != to.Content {
			c.addViolation(ruleFinalIsImmutable, id, "%s became %s", a.Status, b.Status)
		}
		return
	case b.Attempt != a.Attempt && (b.Attempt != a.Attempt+1 || a.Status != execution.Queued || b.Status != execution.Running):
		c.addViolation("attempts are counted", id, "%s, attempt %d became %s, attempt %d", a.Status, a.Attempt, b.Status, b.Attempt)
	case a.Status == execution.Queued && b.Status == execution.Running && b.Attempt == a.Attempt:
		c.addViolation("attempts are counted", id, "attempt %d began twice", a.Attempt)
	}
	if b.FailedAttempts < a.FailedAttempts || b.FailedAttempts > a.FailedAttempts+1 || b.FailedAttempts > b.MaxAttempts {
		c.addViolation("spent attempts are counted", id, "%d became %d, of %d", a.FailedAttempts, b.FailedAttempts, b.MaxAttempts)
	}
	if (b.Status == execution.Running) != (b.Lease != nil) {
		c.addViolation("a lease is held exactly while running", id, "%s, lease %v", b.Status, b.Lease)
		return
	}
	if a.Status == execution.Running {
		c.checkLease(id, from, to)
	}
}

// held judges what was written while an attempt held the lease, or had held it.
func (c *checker) checkLease(id string, from, to Version) {
	a, b := from.Execution, to.Execution
	if a.Lease == nil {
		return // reported
	}
	switch b.Status {
	case execution.Running:
		if b.Lease.Executor != a.Lease.Executor {
			c.addViolation("one attempt at a time", id, "attempt %d of %s became %s's", a.Attempt, a.Lease.Executor, b.Lease.Executor)
		}
		if b.Lease.Expires.Before(a.Lease.Expires) {
			c.addViolation("a lease is only extended", id, "from %s to %s", a.Lease.Expires, b.Lease.Expires)
		}
	case execution.Succeeded:
		if b.FinishedAt == nil || !b.FinishedAt.Before(a.Lease.Expires) {
			c.addViolation("only the holder writes", id, "attempt %d finished at %s, its lease had run out at %s", a.Attempt, b.FinishedAt, a.Lease.Expires)
		}
	default:
	}
}

// end judges what became of the execution.
func (c *checker) checkFinalState(id string, versions []Version) {
	e := lastVersion(versions).Execution
	if !e.Status.Terminal() {
		c.addViolation(ruleFinishes, id, "%s, attempt %d", e.Status, e.Attempt)
		return
	}
	if (e.Status == execution.Succeeded) != (e.Result != nil) || (e.Result != nil) == (e.Failure != nil) {
		c.addViolation("a result or a failure", id, "%s with result %v and failure %v", e.Status, e.Result, e.Failure)
	}
	if e.Due != nil || e.FinishedAt == nil {
		c.addViolation("what has ended is nobody's to look at", id, "due %v, finished %v", e.Due, e.FinishedAt)
	}
	c.checkReceipt(id, versions, e)
}

// receipt holds the receipt, which the attempt that ended the execution wrote
// itself, against the lease of that time.
func (c *checker) checkReceipt(id string, versions []Version, e *execution.Execution) {
	if e.Receipt == "" {
		if e.Status == execution.Succeeded {
			c.addViolation("a result has its receipt", id, "none")
		}
		return
	}
	var r struct {
		Execution, Executor string
		Attempt             int
	}
	if err := json.Unmarshal([]byte(e.Receipt), &r); err != nil {
		c.addViolation("a result has its receipt", id, "%v", err)
		return
	}
	for i := len(versions) - 1; i >= 0; i-- {
		leased := versions[i].Execution
		if leased.Lease == nil {
			continue
		}
		if r.Execution != id || r.Attempt != leased.Attempt || r.Executor != leased.Lease.Executor {
			c.addViolation("only the holder writes", id, "attempt %d of %s held the lease, attempt %d of %s wrote the end of %s",
				leased.Attempt, leased.Lease.Executor, r.Attempt, r.Executor, r.Execution)
		}
		return
	}
}
