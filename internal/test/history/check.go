package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Violation is one promise that was not kept.
type Violation struct {
	Rule    string // what should have held
	Subject string // the ID or path of what it did not hold for
	Detail  string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Subject, v.Rule, v.Detail) }

// Rules that Figures count by.
const (
	ruleAcceptedIsStored = "what was accepted is there"
	ruleFinishes         = "everything ends"
	ruleFinalIsImmutable = "an end never changes"
)

// Check returns what was not kept, in a stable order; nothing means that all of it held.
func Check(h History) []Violation {
	c := newChecker(h)
	for id, versions := range c.executions {
		c.checkExecution(id, versions)
	}
	for _, p := range h.Acceptances {
		c.checkAcceptance(p)
	}
	for _, s := range h.Observations {
		c.checkObservation(s)
	}
	c.checkConversations()
	for id, versions := range c.batches {
		c.checkBatch(id, versions)
	}
	slices.SortFunc(c.violations, func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
	return c.violations
}

// check is a History put in order, and what was found in it so far.
type checker struct {
	History
	executions    map[string][]Version // by ID, each oldest first
	batches       map[string][]Version
	messages      map[string][]Version // by the ID of the execution
	conversations map[string][]Version // conversations by ID
	violations    []Violation
}

func newChecker(h History) *checker {
	c := &checker{
		History: h, executions: map[string][]Version{}, batches: map[string][]Version{},
		messages: map[string][]Version{}, conversations: map[string][]Version{},
	}
	ordered := slices.Clone(h.Versions)
	slices.SortStableFunc(ordered, func(a, b Version) int { return a.At.Compare(b.At) })
	for _, v := range ordered {
		switch {
		case v.Execution != nil:
			c.executions[v.Execution.ID] = append(c.executions[v.Execution.ID], v)
		case v.Batch != nil:
			c.batches[v.Batch.ID] = append(c.batches[v.Batch.ID], v)
		case v.Message != nil:
			c.messages[v.Message.ExecutionID] = append(c.messages[v.Message.ExecutionID], v)
		case v.Conversation != nil:
			c.conversations[v.Conversation.ID] = append(c.conversations[v.Conversation.ID], v)
		default:
			c.addViolation("nothing is deleted", v.Path, "deleted at %s", v.At)
		}
	}
	return c
}

func (c *checker) addViolation(rule, subject, detail string, args ...any) {
	c.violations = append(c.violations, Violation{Rule: rule, Subject: subject, Detail: fmt.Sprintf(detail, args...)})
}

func (c *checker) checkAcceptance(p Acceptance) {
	if p.Batch != "" {
		if c.batches[p.Batch] == nil {
			c.addViolation(ruleAcceptedIsStored, p.Batch, "lost")
		}
		return
	}
	versions := c.executions[p.Execution]
	if versions == nil {
		c.addViolation(ruleAcceptedIsStored, p.Execution, "lost")
		return
	}
	end := lastVersion(versions).Execution
	if p.Text != "" && end.Result != nil && end.Result.Text != p.Text {
		c.addViolation("a result is its own execution's", p.Execution, "%q instead of %q", end.Result.Text, p.Text)
	}
}

func (c *checker) checkObservation(s Observation) {
	versions := c.executions[s.Execution]
	if versions == nil {
		c.addViolation("no result without its execution", s.Execution, "a caller saw it %s", s.Status)
		return
	}
	end := lastVersion(versions).Execution
	if end.Status != s.Status || resultText(end) != s.Text {
		c.addViolation("an end that was shown stays", s.Execution, "%s %q was shown, %s %q is stored", s.Status, s.Text, end.Status, resultText(end))
	}
}

// overdue reports a version that stayed longer than it may past its due time,
// unless something that is needed was away meanwhile.
func (c *checker) checkOverdue(subject string, due *time.Time, until time.Time) {
	if c.MaxOverdue == 0 {
		return
	}
	if overdue := c.overdueBy(due, until); overdue > c.MaxOverdue {
		c.addViolation("nothing waits for ever", subject, "due at %s, looked at %s later", due, overdue)
	}
}

func lastVersion(versions []Version) Version { return versions[len(versions)-1] }

func resultText(e *execution.Execution) string {
	if e.Result == nil {
		return ""
	}
	return e.Result.Text
}
