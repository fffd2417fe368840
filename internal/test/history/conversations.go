package history

import (
	"maps"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// conversations judges the order of turns, and that each has one message of
// the user's and one reply, stored in the commit that ended it.
func (c *checker) checkConversations() {
	turns := map[string]map[int]string{} // conversation, turn: execution
	for id, versions := range c.executions {
		e := versions[0].Execution
		if e.ConversationID == "" {
			continue
		}
		if turns[e.ConversationID] == nil {
			turns[e.ConversationID] = map[int]string{}
		}
		if other := turns[e.ConversationID][e.Turn]; other != "" {
			c.addViolation("one execution for a turn", e.ConversationID, "turn %d is %s and %s", e.Turn, other, id)
		}
		turns[e.ConversationID][e.Turn] = id
		c.checkMessages(id, versions)
	}
	for id := range c.messages {
		if c.executions[id] == nil {
			c.addViolation("no reply without its execution", id, "%d messages", len(c.messages[id]))
		}
	}
	for id, executions := range turns {
		c.checkTurnOrder(id, executions)
		c.checkConversationFinished(id, len(executions))
	}
}

// said judges the messages of one turn.
func (c *checker) checkMessages(id string, versions []Version) {
	byRole := map[execution.Role][]Version{}
	for _, m := range c.messages[id] {
		byRole[m.Message.Role] = append(byRole[m.Message.Role], m)
	}
	if n := len(byRole[execution.RoleUser]); n != 1 {
		c.addViolation("a turn is asked once", id, "%d times", n)
	}
	ended := slices.IndexFunc(versions, func(v Version) bool { return v.Execution.Status.Terminal() })
	replies := byRole[execution.RoleAssistant]
	if ended < 0 {
		if len(replies) > 0 {
			c.addViolation("a reply comes with the end", id, "not ended")
		}
		return
	}
	if len(replies) != 1 {
		c.addViolation("exactly one reply", id, "%d", len(replies))
		return
	}
	reply, end := replies[0], versions[ended]
	if !reply.At.Equal(end.At) {
		c.addViolation("a reply comes with the end", id, "reply at %s, end at %s", reply.At, end.At)
	}
	if reply.Message.Text != resultText(end.Execution) {
		c.addViolation("a reply is its turn's", id, "%q, and the result is %q", reply.Message.Text, resultText(end.Execution))
	}
}

// order judges that no turn began before the one before it had ended.
func (c *checker) checkTurnOrder(conversation string, executions map[int]string) {
	var previousEnd time.Time // the end of the turn before
	for _, turn := range slices.Sorted(maps.Keys(executions)) {
		if _, exists := executions[turn-1]; turn > 1 && !exists {
			c.addViolation("turns are in order", conversation, "there is a turn %d and none before it", turn)
		}
		for _, v := range c.executions[executions[turn]] {
			if v.Execution.Status == execution.Running && v.At.Before(previousEnd) {
				c.addViolation("turns are in order", conversation, "turn %d ran at %s, the one before it ended at %s", turn, v.At, previousEnd)
			}
			if v.Execution.Status.Terminal() {
				previousEnd = v.At
				break
			}
		}
	}
}

// settled judges the conversation's own document.
func (c *checker) checkConversationFinished(id string, turns int) {
	versions := c.conversations[id]
	if versions == nil {
		c.addViolation("no turn without its conversation", id, "%d turns", turns)
		return
	}
	if end := lastVersion(versions).Conversation; len(end.Pending) > 0 || end.Turns != turns {
		c.addViolation("every turn ends", id, "%d turns of %d, %d pending", turns, end.Turns, len(end.Pending))
	}
}
