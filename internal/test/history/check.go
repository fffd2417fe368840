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
	ruleThere = "what was accepted is there"
	ruleEnds  = "everything ends"
	ruleStays = "an end never changes"
)

// Check returns what was not kept, in a stable order; nothing means that all of it held.
func Check(h History) []Violation {
	c := newCheck(h)
	for id, life := range c.executions {
		c.execution(id, life)
	}
	for _, p := range h.Promises {
		c.promise(p)
	}
	for _, s := range h.Sights {
		c.sight(s)
	}
	c.conversations()
	for id, life := range c.batches {
		c.batch(id, life)
	}
	slices.SortFunc(c.found, func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
	return c.found
}

// check is a History put in order, and what was found in it so far.
type check struct {
	History
	executions map[string][]Version // by ID, each oldest first
	batches    map[string][]Version
	messages   map[string][]Version // by the ID of the execution
	talks      map[string][]Version // conversations by ID
	found      []Violation
}

func newCheck(h History) *check {
	c := &check{
		History: h, executions: map[string][]Version{}, batches: map[string][]Version{},
		messages: map[string][]Version{}, talks: map[string][]Version{},
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
			c.talks[v.Conversation.ID] = append(c.talks[v.Conversation.ID], v)
		default:
			c.report("nothing is deleted", v.Path, "deleted at %s", v.At)
		}
	}
	return c
}

func (c *check) report(rule, subject, detail string, args ...any) {
	c.found = append(c.found, Violation{Rule: rule, Subject: subject, Detail: fmt.Sprintf(detail, args...)})
}

func (c *check) promise(p Promise) {
	if p.Batch != "" {
		if c.batches[p.Batch] == nil {
			c.report(ruleThere, p.Batch, "lost")
		}
		return
	}
	life := c.executions[p.Execution]
	if life == nil {
		c.report(ruleThere, p.Execution, "lost")
		return
	}
	end := last(life).Execution
	if p.Text != "" && end.Result != nil && end.Result.Text != p.Text {
		c.report("a result is its own execution's", p.Execution, "%q instead of %q", end.Result.Text, p.Text)
	}
}

func (c *check) sight(s Sight) {
	life := c.executions[s.Execution]
	if life == nil {
		c.report("no result without its execution", s.Execution, "a caller saw it %s", s.Status)
		return
	}
	end := last(life).Execution
	if end.Status != s.Status || text(end) != s.Text {
		c.report("an end that was shown stays", s.Execution, "%s %q was shown, %s %q is stored", s.Status, s.Text, end.Status, text(end))
	}
}

// overdue reports a version that stayed longer than it may past its due time,
// unless something that is needed was away meanwhile.
func (c *check) overdue(subject string, due *time.Time, until time.Time) {
	if c.Late == 0 {
		return
	}
	if late := c.lateness(due, until); late > c.Late {
		c.report("nothing waits for ever", subject, "due at %s, looked at %s later", due, late)
	}
}

func last(life []Version) Version { return life[len(life)-1] }

func text(e *execution.Execution) string {
	if e.Result == nil {
		return ""
	}
	return e.Result.Text
}
