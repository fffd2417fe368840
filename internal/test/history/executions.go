package history

import (
	"encoding/json"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// checkExecution checks one execution from its first version to its last.
func (c *checker) checkExecution(id string, versions []Version) {
	for i, v := range versions[1:] {
		previous := versions[i]
		c.checkOverdue(id, previous.Execution.Due, v.At)
		c.checkTransition(id, previous, v)
	}
	c.checkFinalState(id, versions)
}

// checkTransition checks the change that one commit made.
func (c *checker) checkTransition(id string, from, to Version) {
	a, b := from.Execution, to.Execution
	switch {
	case a.Status.Terminal():
		if from.Content != to.Content {
			c.addViolation(ruleFinalIsImmutable, id, "%s became %s", a.Status, b.Status)
		}
		return
	case b.Attempt != a.Attempt && (b.Attempt != a.Attempt+1 || a.Status != execution.Queued || b.Status != execution.Running):
		c.addViolation(ruleAttemptNumbers, id, "%s, attempt %d became %s, attempt %d", a.Status, a.Attempt, b.Status, b.Attempt)
	case a.Status == execution.Queued && b.Status == execution.Running && b.Attempt == a.Attempt:
		c.addViolation(ruleAttemptNumbers, id, "attempt %d started twice", a.Attempt)
	}
	if b.FailedAttempts < a.FailedAttempts || b.FailedAttempts > a.FailedAttempts+1 || b.FailedAttempts > b.MaxAttempts {
		c.addViolation(ruleFailedAttempts, id, "%d became %d, maximum %d", a.FailedAttempts, b.FailedAttempts, b.MaxAttempts)
	}
	if (b.Status == execution.Running) != (b.Lease != nil) {
		c.addViolation(ruleLeaseWhenRunning, id, "%s, lease %v", b.Status, b.Lease)
		return
	}
	if a.Status == execution.Running {
		c.checkLease(id, from, to)
	}
}

// checkLease checks a change of a running execution against its lease.
func (c *checker) checkLease(id string, from, to Version) {
	a, b := from.Execution, to.Execution
	if a.Lease == nil || b.Status != execution.Running {
		return // checkTransition has reported the former
	}
	if *b.Lease != *a.Lease {
		c.addViolation(ruleOneAttempt, id, "attempt %d moved from %v to %v", a.Attempt, *a.Lease, *b.Lease)
	}
	if !b.CancelRequested && !a.Due.Equal(*b.Due) {
		c.addViolation(ruleQuietWhileRunning, id, "attempt %d is due at %s instead of %s", a.Attempt, b.Due, a.Due)
	}
}

// checkFinalState checks the last version of an execution.
func (c *checker) checkFinalState(id string, versions []Version) {
	e := lastVersion(versions).Execution
	if !e.Status.Terminal() {
		c.addViolation(ruleFinishes, id, "%s, attempt %d", e.Status, e.Attempt)
		return
	}
	if (e.Status == execution.Succeeded) != (e.Result != nil) || (e.Result != nil) == (e.Failure != nil) {
		c.addViolation(ruleResultOrFailure, id, "%s with result %v and failure %v", e.Status, e.Result, e.Failure)
	}
	if e.Due != nil || e.FinishedAt == nil {
		c.addViolation(ruleFinalNotDue, id, "due %v, finished %v", e.Due, e.FinishedAt)
	}
	c.checkReceipt(id, versions, e)
}

// checkReceipt checks that the attempt that wrote the final state, which its receipt names, was the last one to hold
// the lease.
func (c *checker) checkReceipt(id string, versions []Version, e *execution.Execution) {
	if e.Receipt == "" {
		if e.Status == execution.Succeeded {
			c.addViolation(ruleReceipt, id, "none")
		}
		return
	}
	var r struct {
		Execution, Executor string
		Attempt             int
	}
	if err := json.Unmarshal([]byte(e.Receipt), &r); err != nil {
		c.addViolation(ruleReceipt, id, "%v", err)
		return
	}
	for i := len(versions) - 1; i >= 0; i-- {
		leased := versions[i].Execution
		if leased.Lease == nil {
			continue
		}
		if r.Execution != id || r.Attempt != leased.Attempt || r.Executor != leased.Lease.Executor {
			c.addViolation(ruleLeaseHolder, id, "attempt %d of %s held the lease, attempt %d of %s finished %s",
				leased.Attempt, leased.Lease.Executor, r.Attempt, r.Executor, r.Execution)
		}
		return
	}
}
