package history

import (
	"maps"
	"slices"
	"time"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// checkConversations checks the order of the turns, and that each turn has one message of the user and one reply.
func (c *checker) checkConversations() {
	turns := map[string]map[int]string{} // conversation ID, turn number: execution ID
	for id, versions := range c.executions {
		e := versions[0].Execution
		if e.ConversationID == "" {
			continue
		}
		if turns[e.ConversationID] == nil {
			turns[e.ConversationID] = map[int]string{}
		}
		if other := turns[e.ConversationID][e.Turn]; other != "" {
			c.addViolation(ruleOneExecution, e.ConversationID, "turn %d has %s and %s", e.Turn, other, id)
		}
		turns[e.ConversationID][e.Turn] = id
		c.checkMessages(id, versions)
	}
	for id := range c.messages {
		if c.executions[id] == nil {
			c.addViolation(ruleReplyExecution, id, "%d messages", len(c.messages[id]))
		}
	}
	for id, executions := range turns {
		c.checkTurnOrder(id, executions)
		c.checkConversationFinished(id, len(executions))
	}
}

// checkMessages checks the messages of one turn. The reply must be in the commit that finished the execution.
func (c *checker) checkMessages(id string, versions []Version) {
	byRole := map[execution.Role][]Version{}
	for _, m := range c.messages[id] {
		byRole[m.Message.Role] = append(byRole[m.Message.Role], m)
	}
	if n := len(byRole[execution.RoleUser]); n != 1 {
		c.addViolation(ruleOneUserMessage, id, "%d messages", n)
	}
	finished := slices.IndexFunc(versions, func(v Version) bool { return v.Execution.Status.Terminal() })
	replies := byRole[execution.RoleAssistant]
	if finished < 0 {
		if len(replies) > 0 {
			c.addViolation(ruleReplyWithFinish, id, "not finished")
		}
		return
	}
	if len(replies) != 1 {
		c.addViolation(ruleOneReply, id, "%d replies", len(replies))
		return
	}
	reply, final := replies[0], versions[finished]
	if !reply.At.Equal(final.At) {
		c.addViolation(ruleReplyWithFinish, id, "reply at %s, finished at %s", reply.At, final.At)
	}
	if reply.Message.Text != resultText(final.Execution) {
		c.addViolation(ruleOwnReply, id, "reply %q, result %q", reply.Message.Text, resultText(final.Execution))
	}
}

// checkTurnOrder checks that no turn ran before the previous turn had finished.
func (c *checker) checkTurnOrder(conversation string, executions map[int]string) {
	var previousFinish time.Time
	for _, turn := range slices.Sorted(maps.Keys(executions)) {
		if _, exists := executions[turn-1]; turn > 1 && !exists {
			c.addViolation(ruleTurnOrder, conversation, "turn %d without a previous turn", turn)
		}
		for _, v := range c.executions[executions[turn]] {
			if v.Execution.Status == execution.Running && v.At.Before(previousFinish) {
				c.addViolation(ruleTurnOrder, conversation, "turn %d ran at %s, the previous turn finished at %s", turn, v.At, previousFinish)
			}
			if v.Execution.Status.Terminal() {
				previousFinish = v.At
				break
			}
		}
	}
}

// checkConversationFinished checks the document of a conversation after all its turns.
func (c *checker) checkConversationFinished(id string, turns int) {
	versions := c.conversations[id]
	if versions == nil {
		c.addViolation(ruleTurnConversation, id, "%d turns", turns)
		return
	}
	if last := lastVersion(versions).Conversation; len(last.Pending) > 0 || last.Turns != turns {
		c.addViolation(ruleTurnsFinish, id, "%d turns stored, %d counted, %d pending", turns, last.Turns, len(last.Pending))
	}
}
