package store

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// Every time in an execution is Firestore's, however wrong this machine's clock
// is, or that one's; leases and dues are right among themselves.
func TestTimesAreFirestores(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"ahead": 10 * time.Minute, "behind": -10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			f.clock.Advance(ahead)
			isFirestores := func(what time.Time) {
				t.Helper()
				require.WithinDuration(t, f.clock.Now(), what, time.Minute)
			}
			now, err := f.Now(t.Context())
			require.NoError(t, err)
			isFirestores(now)
			isFirestores(f.agent(t, ada).CreatedAt)

			turn := f.turn(t, "", "hello")
			isFirestores(turn.CreatedAt)
			isFirestores(f.messages(t, turn)[0].CreatedAt)
			due, err := f.Due(t.Context(), now, 10)
			require.NoError(t, err)
			require.Empty(t, due)

			e := f.applied(t, turn.Ref(), claim).Execution
			isFirestores(*e.StartedAt)
			require.Equal(t, lease, e.Lease.Expires.Sub(*e.StartedAt))
			f.clock.Advance(lease - 2*time.Second)
			f.applied(t, turn.Ref(), execution.Renewed{Attempt: 1, Lease: lease})
			f.clock.Advance(lease + time.Second)
			_, err = f.Apply(t.Context(), turn.Ref(), execution.Renewed{Attempt: 1, Lease: lease})
			require.ErrorIs(t, err, execution.ErrLeaseLost)

			f.applied(t, turn.Ref(), execution.FellDue{})
			f.applied(t, turn.Ref(), claim)
			isFirestores(*f.applied(t, turn.Ref(), finish(2, "done")).Execution.FinishedAt)
			c, err := f.Conversation(t.Context(), ada, turn.ConversationID)
			require.NoError(t, err)
			isFirestores(c.UpdatedAt)
		})
	}
}
