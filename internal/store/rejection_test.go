package store

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/domain/execution"
)

func TestIsRejection(t *testing.T) {
	for _, err := range []error{
		execution.ErrTerminal, execution.ErrLeased, execution.ErrLeaseLost, execution.ErrNotDue, execution.ErrThrottled,
		execution.ErrStartDeadlineExceeded, ErrEarlierTurnPending, &NotFoundError{Resource: "execution", ID: "exe_1"},
	} {
		require.True(t, IsRejection(fmt.Errorf("apply: %w", err)), "%v", err)
	}
	for _, err := range []error{nil, ErrUnavailable, context.DeadlineExceeded} {
		require.False(t, IsRejection(err), "%v", err)
	}
}
