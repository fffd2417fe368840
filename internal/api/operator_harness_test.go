package api

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/fleet"
)

// operatorSecret is the operator's key of test servers.
var operatorSecret = strings.Repeat("op", 16)

func testOperatorKey(t testing.TB) *auth.OperatorKey {
	t.Helper()
	key, err := auth.NewOperatorKey(operatorSecret)
	require.NoError(t, err)
	return key
}

// asOperator is the header of an operator, for servers with authentication and without.
var asOperator = append(bearerHeader(operatorSecret), operatorHeader, "true")

// addExecutor registers an executor that never renews its session.
func (s server) addExecutor(name, session string) {
	s.t.Helper()
	require.NoError(s.t, s.store.BeginSession(s.t.Context(), fleet.Session{
		ID: session, Process: fleet.ProcessOf(session), Kind: fleet.KindExecutor, Name: name, Version: "v1",
		Executor: &fleet.Executor{
			Slots: 8, Reserved: 2, Busy: 3, Architecture: "amd64", Labels: map[string]string{"zone": "confidential-zone"}, Pulling: true,
			Endpoint: &fleet.Endpoint{Address: "10.0.0.1:9999", Token: "confidential-token"},
			Runtimes: []fleet.Runtime{{Name: "offline", Image: "airlock/offline:1"}, {Name: "claude", Image: "airlock/claude:1", Unavailable: "no such image"}},
		},
	}))
}

// addFleet publishes what a leader would.
func (s server) addFleet(owner string) {
	s.t.Helper()
	owners := make([]string, fleet.Partitions)
	for i := range owners {
		owners[i] = owner
	}
	_, err := s.store.WriteFleet(s.t.Context(), fleet.Fleet{
		Leader: owner, Owners: owners, Slots: map[execution.Lane]int{execution.LaneInteractive: 8, execution.LaneBatch: 6},
		Executors: 1, APIs: 1,
		Pools: []fleet.Pool{{Runtimes: []string{"offline"}, Interactive: fleet.PoolLane{Slots: 8}, Batch: fleet.PoolLane{Slots: 6}}},
	}, time.Time{})
	require.NoError(s.t, err)
}
