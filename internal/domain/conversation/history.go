package conversation

import (
	"fmt"
	"slices"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// MaxHistory bounds the messages that an agent gets.
const MaxHistory = 200

// maxHistoryBytes bounds the texts of these messages together. Older turns are omitted first.
const maxHistoryBytes = 1 << 20

// History returns the newest finished turns as an agent reads them, the oldest first. The reply of a turn without an
// answer says how the turn ended. messages must be in order.
func History(messages []Message) []execution.Message {
	var history []execution.Message
	remainingBytes := maxHistoryBytes
	for i := len(messages) - 1; i > 0; i-- {
		question, reply := messages[i-1], messages[i]
		if question.Turn != reply.Turn || reply.Role != execution.RoleAssistant {
			continue
		}
		text := reply.asHistory()
		if remainingBytes -= len(question.Text) + len(text); remainingBytes < 0 {
			break
		}
		history = append(history,
			execution.Message{Role: reply.Role, Text: text, Turn: reply.Turn, Failed: reply.Failure != nil},
			execution.Message{Role: question.Role, Text: question.Text, Turn: question.Turn})
	}
	slices.Reverse(history)
	return history
}

// asHistory returns the text of a reply as an agent reads it.
func (m Message) asHistory() string {
	if m.Failure == nil {
		return m.Text
	}
	end := fmt.Sprintf("[This turn failed before it ended: %s]", m.Failure.Message)
	switch m.Failure.Code {
	case execution.CodeCanceled:
		end = "[This turn was canceled before it ended.]"
	case execution.CodeTimedOut:
		end = "[This turn timed out before it ended.]"
	case execution.CodeQueueTimeout:
		end = "[This turn never began.]"
	default:
	}
	if m.Partial == "" {
		return end
	}
	return m.Partial + "\n\n" + end
}
