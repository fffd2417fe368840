package membership

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/fleet"
	"github.com/airlock-run/airlock/internal/store"
)

type readFleet func() (store.FleetSnapshot, error)

func (f readFleet) ReadFleet(context.Context) (store.FleetSnapshot, error) { return f() }

func TestStartableRuntimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	pools := []fleet.Pool{{Runtimes: []string{"offline"}, Interactive: fleet.PoolLane{Slots: 1}}}
	led := fleet.Fleet{RenewedAt: now.Add(-fleet.SessionLease), Pools: pools}
	abandoned := fleet.Fleet{RenewedAt: now.Add(-noExecutorAfter), Pools: pools}
	for name, c := range map[string]struct {
		f    store.FleetSnapshot
		err  error
		want []string
	}{
		"a fleet":                     {store.FleetSnapshot{Fleet: led, Now: now}, nil, []string{"offline"}},
		"executors without a runtime": {store.FleetSnapshot{Fleet: fleet.Fleet{RenewedAt: now}, Now: now}, nil, []string{}},
		"no executor any more":        {store.FleetSnapshot{Fleet: abandoned, Now: now}, nil, []string{}},
		"no executor ever":            {store.FleetSnapshot{Now: now}, nil, []string{}},
		"not known":                   {store.FleetSnapshot{}, errors.New("firestore does not answer"), nil},
	} {
		reads := 0
		v := NewView(readFleet(func() (store.FleetSnapshot, error) { reads++; return c.f, c.err }))
		require.Equal(t, c.want, v.StartableRuntimes(t.Context()), name)
		if c.err == nil {
			require.Equal(t, c.want, v.StartableRuntimes(t.Context()), name)
			require.Equal(t, 1, reads, "no read for each request")
		}
	}
}
