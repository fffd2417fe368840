package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Violation is one case in which a rule does not hold.
type Violation struct {
	Rule    string
	Subject string // ID or path of the resource
	Detail  string
}

func (v Violation) String() string { return fmt.Sprintf("%s: %s: %s", v.Subject, v.Rule, v.Detail) }

// Check returns all violations in a stable order.
func Check(h History) []Violation { return check(h).violations }

func check(h History) *checker {
	c := newChecker(h)
	for id, versions := range c.executions {
		c.checkExecution(id, versions)
	}
	for _, a := range h.Acceptances {
		c.checkAcceptance(a)
	}
	for _, o := range h.Observations {
		c.checkObservation(o)
	}
	c.checkConversations()
	for id, versions := range c.batches {
		c.checkBatch(id, versions)
	}
	c.waits, c.requeues = c.checkWaits(), c.checkRequeues()
	slices.SortFunc(c.violations, func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
	return c
}

// checker groups the versions of a History by document, and collects violations.
type checker struct {
	History
	executions    map[string][]Version // by ID; each oldest first
	batches       map[string][]Version // by ID
	messages      map[string][]Version // by the ID of their execution
	conversations map[string][]Version // by ID
	violations    []Violation
	waits         Waits
	requeues      Requeues
}

func newChecker(h History) *checker {
	c := &checker{
		History: h, executions: map[string][]Version{}, batches: map[string][]Version{},
		messages: map[string][]Version{}, conversations: map[string][]Version{},
	}
	for _, d := range h.Undecodable {
		c.addViolation(ruleDecodable, d.Path, "%v", d.Err)
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
			c.addViolation(ruleNotDeleted, v.Path, "deleted at %s", v.At)
		}
	}
	return c
}

func (c *checker) addViolation(rule, subject, detail string, args ...any) {
	c.violations = append(c.violations, Violation{Rule: rule, Subject: subject, Detail: fmt.Sprintf(detail, args...)})
}

func (c *checker) checkAcceptance(a Acceptance) {
	if a.Batch != "" {
		if c.batches[a.Batch] == nil {
			c.addViolation(ruleNothingLost, a.Batch, "not stored")
		}
		return
	}
	versions := c.executions[a.Execution]
	if versions == nil {
		c.addViolation(ruleNothingLost, a.Execution, "not stored")
		return
	}
	final := lastVersion(versions).Execution
	if a.Text != "" && final.Result != nil && final.Result.Text != a.Text {
		c.addViolation(ruleOwnResult, a.Execution, "%q instead of %q", final.Result.Text, a.Text)
	}
}

func (c *checker) checkObservation(o Observation) {
	versions := c.executions[o.Execution]
	if versions == nil {
		c.addViolation(ruleObservedKnown, o.Execution, "observed as %s", o.Status)
		return
	}
	final := lastVersion(versions).Execution
	if final.Status != o.Status || resultText(final) != o.Text {
		c.addViolation(ruleObservedFinal, o.Execution, "observed %s %q, stored %s %q", o.Status, o.Text, final.Status, resultText(final))
	}
}

// checkOverdue checks that a version did not stay unchanged for longer than MaxOverdue after its due time, unless there
// was an outage meanwhile.
func (c *checker) checkOverdue(subject string, due *time.Time, until time.Time) {
	if c.MaxOverdue == 0 {
		return
	}
	if overdue := c.overdueBy(due, until); overdue > c.MaxOverdue {
		c.addViolation(ruleNotOverdue, subject, "due at %s, changed %s later", due, overdue)
	}
}

func lastVersion(versions []Version) Version { return versions[len(versions)-1] }

func resultText(e *execution.Execution) string {
	if e.Result == nil {
		return ""
	}
	return e.Result.Text
}
