package api

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"github.com/airlock-run/airlock/internal/api/auth"
	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/blob"
	"github.com/airlock-run/airlock/internal/domain/conversation"
	"github.com/airlock-run/airlock/internal/domain/execution"
	"github.com/airlock-run/airlock/internal/domain/tenant"
	"github.com/airlock-run/airlock/internal/domain/webhook"
	"github.com/airlock-run/airlock/internal/quota"
	"github.com/airlock-run/airlock/internal/store"
)

func TestProblemTableHasEveryCodeOfTheContract(t *testing.T) {
	statuses := map[string]int{}
	for _, row := range problemTable {
		if status, seen := statuses[string(row.code)]; seen {
			require.Equal(t, status, row.status, "%s has one status", row.code)
		}
		statuses[string(row.code)] = row.status
	}
	codes := contractEnum(t, "Problem", "code")
	for _, code := range codes {
		require.Contains(t, statuses, code)
	}
	require.Len(t, statuses, len(codes), "the contract has every code of the table")
}

// No other file makes a problem or names a code of one.
func TestProblemsAreMadeInOneFile(t *testing.T) {
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || file == "problem_table.go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CompositeLit:
				if name, ok := n.Type.(*ast.Ident); ok {
					require.NotContains(t, []string{"problem", "problemRow"}, name.Name, file)
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "contract" {
					isCode := strings.HasPrefix(n.Sel.Name, "Problem") && n.Sel.Name != "Problem" && n.Sel.Name != "ProblemCode"
					require.False(t, isCode, "%s names contract.%s", file, n.Sel.Name)
				}
			}
			return true
		})
	}
}

func TestProblemForError(t *testing.T) {
	for _, tc := range []struct {
		err    error
		status int
		code   contract.ProblemCode
		detail string // a part of it
	}{
		{invalidField("name", "is repeated"), 400, contract.ProblemInvalidRequest, "name: is repeated."},
		{echo.NewHTTPError(400, "bad parameter"), 400, contract.ProblemInvalidRequest, "bad parameter"},
		{&auth.UnauthenticatedError{Reason: "Send a key."}, 401, contract.ProblemUnauthenticated, "Send a key."},
		{&insufficientScopeError{[]tenant.Scope{tenant.ScopeRun}}, 403, contract.ProblemInsufficientScope, "run"},
		{errHostNotAllowed, 403, contract.ProblemHostNotAllowed, "localhost"},
		{&store.NotFoundError{Resource: "agent", ID: "agt_1"}, 404, contract.ProblemNotFound, `There is no agent "agt_1".`},
		{echo.ErrNotFound, 404, contract.ProblemRouteNotFound, "/openapi.json"},
		{echo.ErrMethodNotAllowed, 405, contract.ProblemMethodNotAllowed, "Allow"},
		{store.ErrAgentMismatch, 409, contract.ProblemAgentMismatch, "another agent"},
		{errAPIKeysDisabled, 409, contract.ProblemAPIKeysDisabled, "AIRLOCK_AUTH_MODE"},
		{errBatchNotFinished, 409, contract.ProblemBatchNotFinished, "batch"},
		{webhook.ErrNotFinished, 409, contract.ProblemDeliveryNotFinished, "dueAt"},
		{execution.ErrNotFinished, 409, contract.ProblemExecutionNotFinished, "execution"},
		{execution.ErrSucceeded, 409, contract.ProblemNothingToRetry, "succeeded"},
		{errNoFailedInput, 409, contract.ProblemNothingToRetry, "No input"},
		{blob.ErrLost, 410, contract.ProblemArtifactLost, "storage"},
		{&transcriptDeletedError{at: time.Unix(0, 0), deleted: true}, 410, contract.ProblemTranscriptDeleted, "was deleted at 1970-01-01T00:00:00Z"},
		{&transcriptDeletedError{at: time.Unix(0, 0)}, 410, contract.ProblemTranscriptDeleted, "expired at 1970-01-01T00:00:00Z"},
		{&contentTooLargeError{detail: "too large"}, 413, contract.ProblemContentTooLarge, "too large"},
		{&unsupportedMediaTypeError{"as JSON"}, 415, contract.ProblemUnsupportedMediaType, "as JSON"},
		{&store.NoConversationsError{Runtime: "upper"}, 422, contract.ProblemNoConversations, `The runtime "upper" does not pass`},
		{errIdempotencyKeyReused, 422, contract.ProblemIdempotencyKeyReused, "24 hours"},
		{&promptDeniedError{field: "input", rule: "no cards"}, 422, contract.ProblemPromptDenied, `"no cards"`},
		{&rateLimitedError{"Too many requests", time.Second}, 429, contract.ProblemRateLimited, "Try again in 1 s."},
		{conversation.ErrTooManyPending, 429, contract.ProblemTooManyPendingTurns, "32"},
		{&quota.QueueFullError{Limit: 5}, 429, contract.ProblemQueueFull, "5"},
		{&quota.DailyBudgetExceededError{LimitUSD: 1.5}, 429, contract.ProblemDailyBudgetExceeded, "1.5 USD"},
		{echo.ErrStatusRequestEntityTooLarge, 413, contract.ProblemRequestRefused, "Too Large"},
		{echo.ErrInternalServerError, 500, contract.ProblemInternal, "X-Request-Id"},
		{errors.New("secret"), 500, contract.ProblemInternal, "X-Request-Id"},
		{errTooManyStreams, 503, contract.ProblemUnavailable, "event streams"},
		{blob.ErrUnavailable, 503, contract.ProblemUnavailable, "files"},
		{store.ErrUnavailable, 503, contract.ProblemUnavailable, "database"},
		{context.DeadlineExceeded, 503, contract.ProblemUnavailable, "database"},
	} {
		p := problemFor(fmt.Errorf("secret: %w", tc.err))
		require.Equal(t, tc.status, p.Status, "%v", tc.err)
		require.Equal(t, tc.code, p.Code, "%v", tc.err)
		require.Contains(t, p.Detail, tc.detail, "%v", tc.err)
		require.NotContains(t, p.Detail, "secret")
	}
	p := problemFor(errors.Join(errNoFailedInput, store.ErrUnavailable))
	require.Equal(t, contract.ProblemNothingToRetry, p.Code, "the first error counts, not the failed clean-up after it")
}

func TestProblemsSetRetryAfter(t *testing.T) {
	for _, tc := range []struct {
		err     error
		seconds int
	}{
		{&quota.QueueFullError{Limit: 5}, unavailableRetrySeconds},
		{&quota.DailyBudgetExceededError{LimitUSD: 1.5, RetryAfter: 90*time.Second + 1}, 91},
		{conversation.ErrTooManyPending, unavailableRetrySeconds},
		{&rateLimitedError{"Too many requests", 1500 * time.Millisecond}, 2},
		{errTooManyStreams, unavailableRetrySeconds},
		{blob.ErrUnavailable, unavailableRetrySeconds},
		{store.ErrUnavailable, unavailableRetrySeconds},
		{execution.ErrSucceeded, 0},
	} {
		p := problemFor(tc.err)
		require.Equal(t, tc.seconds, p.RetryAfter, "%v", tc.err)
		require.Equal(t, tc.seconds > 0, p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable, "%v", tc.err)
	}
}
