package conversation

import (
	"slices"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// MaxHistory bounds the messages that an agent gets.
const MaxHistory = 200

// maxHistoryBytes bounds the texts of these messages together. Older turns are omitted first.
const maxHistoryBytes = 1 << 20

// History returns the newest answered turns as an agent reads them, the oldest first. A failed turn is omitted: it has
// a question but no answer. messages must be in order.
func History(messages []Message) []execution.Message {
	var history []execution.Message
	remainingBytes := maxHistoryBytes
	for i := len(messages) - 1; i > 0; i-- {
		question, reply := messages[i-1], messages[i]
		if question.Turn != reply.Turn || reply.Role != execution.RoleAssistant || reply.Failure != nil {
			continue
		}
		if remainingBytes -= len(question.Text) + len(reply.Text); remainingBytes < 0 {
			break
		}
		history = append(history,
			execution.Message{Role: reply.Role, Text: reply.Text},
			execution.Message{Role: question.Role, Text: question.Text})
	}
	slices.Reverse(history)
	return history
}
