package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Every time is Firestore's, also if its clock and this machine's differ. Leases and due times are consistent with it.
func TestTimesUseFirestoreClock(t *testing.T) {
	t.Parallel()
	for name, offset := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			f.clock.Advance(offset)
			requireFirestoreTime := func(got time.Time) {
				t.Helper()
				require.WithinDuration(t, f.clock.Now(), got, time.Minute)
			}
			now, err := f.Now(t.Context())
			require.NoError(t, err)
			requireFirestoreTime(now)
			requireFirestoreTime(f.createAgent(t, ada).CreatedAt)

			turn := f.submitTurn(t, "", "hello")
			requireFirestoreTime(turn.CreatedAt)
			requireFirestoreTime(f.listMessages(t, turn)[0].CreatedAt)
			due, err := f.DueExecutions(t.Context(), now, new(Scan), 10)
			require.NoError(t, err)
			require.Empty(t, due)

			e := f.mustApply(t, turn.Ref(), claimEvent).Execution
			requireFirestoreTime(*e.StartedAt)
			_, err = f.Apply(t.Context(), turn.Ref(), execution.Overdue{})
			require.ErrorIs(t, err, execution.ErrNotDue)
			f.clock.Advance(e.Due.Sub(*e.StartedAt))
			f.mustApply(t, turn.Ref(), execution.Overdue{})
			f.mustApply(t, turn.Ref(), claimEvent)
			requireFirestoreTime(*f.mustApply(t, turn.Ref(), successEvent(2, "done")).Execution.FinishedAt)
			c, err := f.Conversation(t.Context(), ada, turn.ConversationID)
			require.NoError(t, err)
			requireFirestoreTime(c.UpdatedAt)
		})
	}
}
