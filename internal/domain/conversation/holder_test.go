package conversation

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

// The end of a turn says which process has an agent waiting for the next one. That is a hint for a limited time.
func TestHolderOfNextTurn(t *testing.T) {
	now := time.Now()
	c := Conversation{ID: "con_1", Pending: []string{"exe_1", "exe_2"}}
	require.Empty(t, c.HolderAt(now))
	c.Complete(&execution.Execution{ID: "exe_1", FinishedAt: &now, Hold: &execution.Hold{Process: "prc_1", For: time.Minute}})
	require.Equal(t, "prc_1", c.HolderAt(now.Add(59*time.Second)))
	require.Empty(t, c.HolderAt(now.Add(time.Minute)))
	c.Complete(&execution.Execution{ID: "exe_2", FinishedAt: &now})
	require.Empty(t, c.HolderAt(now))
}
