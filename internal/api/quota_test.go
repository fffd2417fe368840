package api

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/quota"
)

func TestQuotaErrorsSetRetryAfter(t *testing.T) {
	for code, tc := range map[contract.ProblemCode]struct {
		err   error
		after int // seconds
	}{
		contract.ProblemQueueFull:           {&quota.QueueFullError{Limit: 5}, 2},
		contract.ProblemDailyBudgetExceeded: {&quota.DailyBudgetExceededError{LimitUSD: 1.5, RetryAfter: 90*time.Second + 1}, 91},
	} {
		p := problemFor(tc.err)
		require.Equal(t, http.StatusTooManyRequests, p.Status)
		require.Equal(t, code, p.Code)
		require.Equal(t, tc.after, p.RetryAfter)
	}
}
