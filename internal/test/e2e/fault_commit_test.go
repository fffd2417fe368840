package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/airlock-run/airlock/internal/api/contract"
	"github.com/airlock-run/airlock/internal/test/history"
)

// Of all commits that change one execution, from its acceptance to its end, one
// is done and its answer lost, each in turn. Whoever is not answered finds out
// what was done, and nothing is done twice.
func TestFaultCommitResponseLost(t *testing.T) {
	t.Parallel()
	for kind, c := range map[string]struct {
		path, body string
		commits    []string // what each is for
	}{
		// The run takes longer than a heartbeat.
		"run":  {"/agents/%s/run", `{"input":"{\"offline\":{\"sleep\":\"6s\"}}"}`, []string{"accepted", "claimed", "renewed", "finished"}},
		"turn": {"/api/conversation", `{"agentId":"%s","message":"hello"}`, []string{"accepted", "claimed", "finished"}},
	} {
		for i, event := range c.commits {
			t.Run(kind+" "+event, func(t *testing.T) {
				t.Parallel()
				l := newFaultCluster(t, 0)
				agent := l.createEchoAgent()
				dropped := l.dropCommitResponse(i + 1)
				id := l.postUntilAccepted(strings.ReplaceAll(c.path, "%s", agent), strings.ReplaceAll(c.body, "%s", agent))
				if event == "accepted" { // who was not answered has announced nothing
					l.clock.Advance(afterNotification)
				}
				x := l.startExecutor(t)
				e := l.awaitExecution(id)
				require.True(t, dropped(), "there were fewer commits")
				require.Equal(t, contract.StatusSucceeded, e.Status, "%+v", e.Error)
				require.Equal(t, 1, e.Attempt)
				var list contract.ExecutionList
				l.call(http.MethodGet, "/executions", http.StatusOK, nil, &list)
				require.Len(t, list.Executions, 1)
				l.requireHistoryHolds(x)
			})
		}
	}
}

// loseAnswer has the n-th commit done that changes an execution, and says in
// the place of its answer what gRPC says when a connection breaks.
func (l *faultCluster) dropCommitResponse(n int) (dropped func() bool) {
	var commits atomic.Int64
	l.firestore.Intercept(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, do grpc.UnaryHandler) (any, error) {
		response, err := do(ctx, req)
		if commit, ok := req.(*firestorepb.CommitRequest); ok && err == nil && writesExecution(commit) && commits.Add(1) == int64(n) {
			return nil, status.Error(codes.Unavailable, "the answer was lost")
		}
		return response, err
	})
	return func() bool { return commits.Load() >= int64(n) }
}

func writesExecution(commit *firestorepb.CommitRequest) bool {
	for _, w := range commit.Writes {
		if strings.Contains(w.GetUpdate().GetName(), "/executions/") {
			return true
		}
	}
	return false
}

// insist posts as who has to know does: with an Idempotency-Key, again until it
// is accepted.
func (l *faultCluster) postUntilAccepted(path, body string) (executionID string) {
	l.t.Helper()
	var accepted contract.AcceptedExecution
	header := http.Header{"Content-Type": {jsonType}, "Idempotency-Key": {"insisting"}}
	l.eventually("accepted", func() bool {
		got := l.doRequest(http.MethodPost, path, header.Clone(), []byte(body))
		if got.StatusCode == http.StatusServiceUnavailable {
			return false
		}
		require.Equal(l.t, http.StatusAccepted, got.StatusCode, "%s", got.body)
		require.NoError(l.t, json.Unmarshal(got.body, &accepted))
		return true
	})
	l.recorder.RecordAcceptance(history.Acceptance{Execution: accepted.ExecutionId})
	return accepted.ExecutionId
}
