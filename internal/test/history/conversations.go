package history

import (
	"maps"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// conversations judges the order of turns, and that each has one message of
// the user's and one reply, stored in the commit that ended it.
func (c *check) conversations() {
	turns := map[string]map[int]string{} // conversation, turn: execution
	for id, life := range c.executions {
		e := life[0].Execution
		if e.ConversationID == "" {
			continue
		}
		if turns[e.ConversationID] == nil {
			turns[e.ConversationID] = map[int]string{}
		}
		if other := turns[e.ConversationID][e.Turn]; other != "" {
			c.report("one execution for a turn", e.ConversationID, "turn %d is %s and %s", e.Turn, other, id)
		}
		turns[e.ConversationID][e.Turn] = id
		c.said(id, life)
	}
	for id := range c.messages {
		if c.executions[id] == nil {
			c.report("no reply without its execution", id, "%d messages", len(c.messages[id]))
		}
	}
	for id, executions := range turns {
		c.order(id, executions)
		c.settled(id, len(executions))
	}
}

// said judges the messages of one turn.
func (c *check) said(id string, life []Version) {
	at := map[execution.Role][]Version{}
	for _, m := range c.messages[id] {
		at[m.Message.Role] = append(at[m.Message.Role], m)
	}
	if n := len(at[execution.RoleUser]); n != 1 {
		c.report("a turn is asked once", id, "%d times", n)
	}
	ended := slices.IndexFunc(life, func(v Version) bool { return v.Execution.Status.Terminal() })
	replies := at[execution.RoleAssistant]
	if ended < 0 {
		if len(replies) > 0 {
			c.report("a reply comes with the end", id, "not ended")
		}
		return
	}
	if len(replies) != 1 {
		c.report("exactly one reply", id, "%d", len(replies))
		return
	}
	reply, end := replies[0], life[ended]
	if !reply.At.Equal(end.At) {
		c.report("a reply comes with the end", id, "reply at %s, end at %s", reply.At, end.At)
	}
	if reply.Message.Text != text(end.Execution) {
		c.report("a reply is its turn's", id, "%q, and the result is %q", reply.Message.Text, text(end.Execution))
	}
}

// order judges that no turn began before the one before it had ended.
func (c *check) order(conversation string, executions map[int]string) {
	var free time.Time // the end of the turn before
	for _, turn := range slices.Sorted(maps.Keys(executions)) {
		if _, there := executions[turn-1]; turn > 1 && !there {
			c.report("turns are in order", conversation, "there is a turn %d and none before it", turn)
		}
		for _, v := range c.executions[executions[turn]] {
			if v.Execution.Status == execution.Running && v.At.Before(free) {
				c.report("turns are in order", conversation, "turn %d ran at %s, the one before it ended at %s", turn, v.At, free)
			}
			if v.Execution.Status.Terminal() {
				free = v.At
				break
			}
		}
	}
}

// settled judges the conversation's own document.
func (c *check) settled(id string, turns int) {
	life := c.talks[id]
	if life == nil {
		c.report("no turn without its conversation", id, "%d turns", turns)
		return
	}
	if end := last(life).Conversation; len(end.Pending) > 0 || end.Turns != turns {
		c.report("every turn ends", id, "%d turns of %d, %d pending", turns, end.Turns, len(end.Pending))
	}
}
