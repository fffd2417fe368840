package store

import (
	"context"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

func (f fixture) beginSession(t *testing.T, id, name string) {
	t.Helper()
	require.NoError(t, f.BeginSession(t.Context(), fleet.Session{
		ID: id, Process: fleet.ProcessOf(id), Kind: fleet.KindExecutor, Name: name,
		Executor: &fleet.Executor{Slots: 4, Runtimes: []fleet.Runtime{{Name: "offline", Image: "i"}}},
	}))
}

func (f fixture) expiredSessions(t *testing.T) (ids []string) {
	t.Helper()
	now, err := f.Now(t.Context())
	require.NoError(t, err)
	expired, err := f.ExpiredSessions(t.Context(), now)
	require.NoError(t, err)
	for _, s := range expired {
		ids = append(ids, s.ID)
	}
	return ids
}

func TestSessionExpiresWithoutRenewal(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.clock.Advance(-time.Hour) // only Firestore's clock counts
	f.beginSession(t, "p.1", "x1")
	f.beginSession(t, "q.1", "x2")
	sessions, now, err := f.Sessions(t.Context())
	require.NoError(t, err)
	require.Len(t, sessions, 2)
	require.WithinDuration(t, f.clock.Now(), now, time.Minute)
	require.WithinDuration(t, f.clock.Now(), sessions[0].RenewedAt, time.Minute)
	require.Equal(t, sessions[0].StartedAt, sessions[0].RenewedAt)

	f.clock.Advance(fleet.SessionLease - time.Second)
	require.Empty(t, f.expiredSessions(t))
	require.NoError(t, f.RenewSession(t.Context(), "p.1", &fleet.Executor{Slots: 4, Busy: 3}))
	f.clock.Advance(time.Second)
	require.Equal(t, []string{"q.1"}, f.expiredSessions(t))
	renewed, err := f.Session(t.Context(), "p.1")
	require.NoError(t, err)
	require.Equal(t, &fleet.Executor{Slots: 4, Busy: 3}, renewed.Executor)
	require.Equal(t, "x1", renewed.Name, "a renewal keeps the rest")
	require.True(t, renewed.RenewedAt.After(renewed.StartedAt))
}

func TestRenewalOfDeletedSessionFails(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.beginSession(t, "p.1", "x1")
	require.NoError(t, f.RenewSession(t.Context(), "p.1", nil))
	require.NoError(t, f.DeleteSession(t.Context(), "p.1"))
	require.ErrorIs(t, f.RenewSession(t.Context(), "p.1", nil), fleet.ErrSessionLost)
	_, err := f.Session(t.Context(), "p.1")
	require.ErrorIs(t, err, fleet.ErrSessionLost)
	require.NoError(t, f.EndSession(t.Context(), "p.1"), "it has ended")
	sessions, _, err := f.Sessions(t.Context())
	require.NoError(t, err)
	require.Empty(t, sessions, "neither brings it back")
}

func TestEndedSessionHasExpiredAtOnce(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.beginSession(t, "p.1", "x1")
	f.beginSession(t, "q.1", "x2")
	require.NoError(t, f.EndSession(t.Context(), "p.1"))
	require.Equal(t, []string{"p.1"}, f.expiredSessions(t))
}

// A session that this version cannot decode is found and can be deleted, and hides no other.
func TestSessionThatCannotBeDecoded(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.beginSession(t, "p.1", "x1")
	_, err := f.firestore.Client.Doc("sessions/q.1").Set(t.Context(), map[string]any{"id": 7, "kind": 1, "renewedAt": time.Unix(0, 0)})
	require.NoError(t, err)
	require.Equal(t, []string{"q.1"}, f.expiredSessions(t))
	sessions, _, err := f.Sessions(t.Context())
	require.NoError(t, err)
	require.Len(t, sessions, 2)
}

func TestSetDraining(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.beginSession(t, "old.1", "x1")
	f.clock.Advance(fleet.SessionLease)
	_, err := f.SetDraining(t.Context(), "x1", true)
	require.True(t, isNotFound(err), "the executor does not live: %v", err)
	f.beginSession(t, "p.1", "x1")
	f.beginSession(t, "q.1", "x2")
	changed, err := f.SetDraining(t.Context(), "x1", true)
	require.NoError(t, err)
	require.Len(t, changed, 1)
	require.Equal(t, "p", changed[0].Process)
	require.NoError(t, f.RenewSession(t.Context(), "p.1", &fleet.Executor{Slots: 1, Draining: true}))
	s, err := f.Session(t.Context(), "p.1")
	require.NoError(t, err)
	require.True(t, s.Drain, "a renewal keeps it")
	require.True(t, s.Executor.Draining)
	_, err = f.SetDraining(t.Context(), "x1", false)
	require.NoError(t, err)
	s, err = f.Session(t.Context(), "p.1")
	require.NoError(t, err)
	require.False(t, s.Drain)
	other, err := f.Session(t.Context(), "q.1")
	require.NoError(t, err)
	require.False(t, other.Drain)
}

func TestFleetIsWrittenOnlyByOneThatKnowsIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	missing, err := f.ReadFleet(t.Context())
	require.NoError(t, err)
	require.Zero(t, missing.Version)
	require.WithinDuration(t, f.clock.Now(), missing.Now, time.Minute)

	published := fleet.Fleet{
		Leader: "p", Owners: fleet.Assign(nil, []string{"p"}), Executors: 1, APIs: 2,
		Slots: map[execution.Lane]int{execution.LaneInteractive: 4},
		Pools: []fleet.Pool{{Runtimes: []string{"offline"}, Interactive: fleet.PoolLane{Slots: 4}, Batch: fleet.PoolLane{WaitingWeight: 1}}},
	}
	version, err := f.WriteFleet(t.Context(), published, missing.Version)
	require.NoError(t, err)
	_, err = f.WriteFleet(t.Context(), published, missing.Version)
	require.ErrorIs(t, err, ErrFleetChanged, "two processes that read no document")
	f.clock.Advance(time.Second)
	next, err := f.WriteFleet(t.Context(), published, version)
	require.NoError(t, err)
	_, err = f.WriteFleet(t.Context(), fleet.Fleet{Leader: "q"}, version)
	require.ErrorIs(t, err, ErrFleetChanged, "two processes that read the same version")

	stored, err := f.ReadFleet(t.Context())
	require.NoError(t, err)
	require.Equal(t, next, stored.Version)
	require.WithinDuration(t, next, stored.RenewedAt, time.Millisecond, "the version is Firestore's time")
	stored.RenewedAt = time.Time{}
	require.Equal(t, published, stored.Fleet)
}

// Every field of the struct is replaced, and a field of a newer version stays.
func TestWriteFleetReplacesEveryField(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	version, err := f.WriteFleet(t.Context(), fleet.Fleet{
		Leader: "p", Owners: []string{"p"}, Executors: 1, APIs: 1,
		Slots: map[execution.Lane]int{execution.LaneInteractive: 4, execution.LaneBatch: 1},
		Pools: []fleet.Pool{{Runtimes: []string{"r"}, Interactive: fleet.PoolLane{Slots: 4}}},
	}, time.Time{})
	require.NoError(t, err)
	result, err := f.fleetDoc().Set(t.Context(), map[string]any{"newer": 1}, firestore.MergeAll)
	require.NoError(t, err)
	_, err = f.WriteFleet(t.Context(), fleet.Fleet{Slots: map[execution.Lane]int{execution.LaneBatch: 2}}, result.UpdateTime)
	require.NoError(t, err)
	require.True(t, result.UpdateTime.After(version))
	snap, err := f.fleetDoc().Get(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 1, snap.Data()["newer"])
	stored, err := f.ReadFleet(context.Background())
	require.NoError(t, err)
	stored.RenewedAt = time.Time{}
	require.Equal(t, fleet.Fleet{Slots: map[execution.Lane]int{execution.LaneBatch: 2}}, stored.Fleet)
}
