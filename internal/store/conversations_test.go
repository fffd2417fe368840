package store

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestMessagesNewestInOrder(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var last execution.Execution
	for i := range 12 { // two digits: the order must be numeric, not alphabetic
		last = f.submitTurn(t, last.ConversationID, fmt.Sprintf("ask %d", i+1))
		f.mustApply(t, last.Ref(), claimEvent)
		f.mustApply(t, last.Ref(), successEvent(1, fmt.Sprintf("reply %d", i+1)))
	}
	texts := func(before, limit int) (texts []string) {
		found, err := f.Messages(t.Context(), ada, last.ConversationID, before, limit)
		require.NoError(t, err)
		for _, m := range found {
			texts = append(texts, m.Text)
		}
		return texts
	}
	require.Len(t, texts(0, 100), 24)
	require.Equal(t, []string{"ask 11", "reply 11", "ask 12", "reply 12"}, texts(0, 4))
	require.Equal(t, []string{"reply 9", "ask 10", "reply 10"}, texts(11, 3))
	require.Empty(t, texts(1, 10))
}
